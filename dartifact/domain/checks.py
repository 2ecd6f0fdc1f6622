"""Checks, results, reports and verdicts: where evidence meets policy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from dartifact.domain.storable import read_number


class Gate(StrEnum):
    """The places where evidence is asked for."""

    LOCAL = "local"
    INTEGRATION = "integration"
    STAGING = "staging"
    SMOKE = "smoke"
    TRAFFIC = "traffic"


class Outcome(StrEnum):
    """What one check answered. `errored` = could not ask; `skipped` never blocks."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERRORED = "errored"


class CheckPolicy(StrEnum):
    """What a check's failing rows are measured by: none may fail, or none but those that fail in `main` already."""

    ABSOLUTE = "absolute"
    NOT_WORSE_THAN_MAIN = "not_worse_than_main"


class VerdictKind(StrEnum):
    """What a gate says."""

    PASS = "pass"  # noqa: S105  (a verdict)
    HOLD = "hold"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Result:
    """One check's answer on one commit.

    `check` is stable between runs (waivers and trends name it). `measured` and `threshold` are for people; `condition`
    is an SQL predicate true for each failing row of `dataset`, None for checks that are not about single rows;
    `failing_rows` is the exact number, 0 where rows are not what is counted; `known_rows` of them fail in `main`
    already (None: not asked). `holds`: a failure only holds. `waiver` is the one that made a failure a warning.
    """

    check: str
    dataset: str
    outcome: Outcome
    message: str
    run_id: str | None = None
    column: str | None = None
    measured: float | None = None
    threshold: str | None = None
    failing_rows: int = 0
    condition: str | None = None
    holds: bool = False
    known_rows: int | None = None
    waiver: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All results of one commit at one gate. The digest identifies them: an approval names it."""

    gate: Gate
    commit: str
    meta_range: str
    results: tuple[Result, ...]

    @property
    def has_errors(self) -> bool:
        """Say whether a check could not be run."""
        return any(result.outcome is Outcome.ERRORED for result in self.results)

    @property
    def digest(self) -> str:
        """Return the sha256 over gate, commit and results."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` reads them back."""
        return {
            "gate": self.gate.value,
            "commit": self.commit,
            "meta_range": self.meta_range,
            "results": [asdict(result) for result in self.results],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Report:
        """Read what `to_json` wrote."""
        results = tuple(_read_result(item) for item in value["results"])
        return cls(Gate(value["gate"]), value["commit"], value["meta_range"], results)


def _read_result(item: dict[str, Any]) -> Result:
    return Result(**{**item, "outcome": Outcome(item["outcome"]), "measured": read_number(item["measured"])})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A gate's answer, always with reasons (empty only for a plain pass)."""

    kind: VerdictKind
    reasons: tuple[str, ...] = ()


def has_failed(results: Iterable[Result]) -> bool:
    """Say whether a check failed or could not be run."""
    return any(result.outcome in (Outcome.FAILED, Outcome.ERRORED) for result in results)


def judge(results: tuple[Result, ...]) -> Verdict:
    """Turn results into a verdict: a failure fails, could-not-ask and nothing-asked hold, the rest passes."""
    failed = [r for r in results if r.outcome is Outcome.FAILED and not r.holds]
    if failed:
        return Verdict(VerdictKind.FAIL, tuple(r.message for r in failed))
    held = [r for r in results if r.outcome is Outcome.ERRORED or (r.outcome is Outcome.FAILED and r.holds)]
    if held:
        return Verdict(VerdictKind.HOLD, tuple(r.message for r in held))
    if not any(r.outcome in (Outcome.PASSED, Outcome.WARNED) for r in results):
        return Verdict(VerdictKind.HOLD, ("no check was run",))
    return Verdict(VerdictKind.PASS, tuple(r.message for r in results if r.outcome is Outcome.WARNED))
