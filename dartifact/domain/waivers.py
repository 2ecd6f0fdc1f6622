"""Waivers: a failing check that a person accepts, of one run as it is or of a dataset until a date. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dartifact.domain.checks import Outcome, Result

_NEVER = (".readable", ".present", ".key.missing")
_NEVER_IN = (".schema.type.", ".schema.missing.")


@dataclass(frozen=True, slots=True)
class Waiver:
    """One accepted failing check.

    With `run_id` it is an approval: it holds for that run at exactly `commit`, as `report` showed it. Without, it holds
    for every run of `dataset` (or for the mart of that name) up to `until`. It covers at most `rows` failing rows.
    """

    waiver_id: int
    dataset: str
    check: str
    rows: int
    actor: str
    reason: str
    at: datetime
    run_id: str | None = None
    commit: str | None = None
    report: str | None = None
    until: datetime | None = None
    ended_at: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        """Say whether its date has come."""
        return self.until is not None and now >= self.until


def is_waivable(result: Result) -> bool:
    """Say whether a person may accept this failure: what cannot be read, typed or told apart by key breaks `main`."""
    is_broken = result.check.endswith(_NEVER) or any(part in result.check for part in _NEVER_IN)
    return result.outcome is Outcome.FAILED and result.dataset != "main" and not is_broken


def apply_waivers(
    results: Iterable[Result], waivers: Sequence[Waiver], commits: Mapping[str, str | None], now: datetime
) -> tuple[Result, ...]:
    """Return the results with each failure that a waiver covers as a warning that names it.

    `commits` are the tested commits of the runs that are looked at. A waiver that would have covered a failure and
    has expired, or is for fewer rows, is named in the failure.
    """
    return tuple(_apply(result, waivers, commits, now) if is_waivable(result) else result for result in results)


def _apply(result: Result, waivers: Sequence[Waiver], commits: Mapping[str, str | None], now: datetime) -> Result:
    why = ""
    for waiver in waivers:
        if waiver.check != result.check or not _is_about(waiver, result, commits):
            continue
        if waiver.has_expired(now):
            why = f"; the waiver of {waiver.actor} expired at {waiver.until:%Y-%m-%d %H:%M} UTC"
        elif waiver.ended_at is not None:
            continue
        elif result.failing_rows > waiver.rows:
            why = f"; the waiver of {waiver.actor} covers {waiver.rows:,} rows"
        else:
            until = f" until {waiver.until:%Y-%m-%d %H:%M} UTC" if waiver.until else ""
            words = f"{result.message}; waived by {waiver.actor}{until}: {waiver.reason}"
            return replace(result, outcome=Outcome.WARNED, holds=False, waiver=waiver.waiver_id, message=words)
    return replace(result, message=result.message + why) if why else result


def _is_about(waiver: Waiver, result: Result, commits: Mapping[str, str | None]) -> bool:
    if waiver.run_id is None:
        return waiver.dataset == result.dataset
    is_same = waiver.run_id in commits and commits[waiver.run_id] == waiver.commit
    return is_same and result.run_id in (None, waiver.run_id)
