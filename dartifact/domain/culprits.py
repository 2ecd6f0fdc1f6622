"""Who turned a dartifact red, code or data and which run: what to build next to find out, until it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    """How a run's folder in `main` differs from what the last good dartifact was built of."""

    LEFT = "left"
    ARRIVED = "arrived"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class RunChange:
    """One run's part in how `main` changed since the last good dartifact."""

    run_id: str
    kind: ChangeKind


@dataclass(frozen=True, slots=True)
class Probe:
    """One build that is thrown away: the last good data with the first `changes`, and which code."""

    changes: int = 0
    good_code: bool = False


class CulpritKind(StrEnum):
    """What can be guilty; a `removal` is a run whose leaving turned the build red."""

    CODE = "code"
    DATA = "data"
    REMOVAL = "removal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Culprit:
    """What turned a dartifact red, why that is believed, and how many builds it took to find out."""

    kind: CulpritKind
    reason: str
    run_id: str | None = None
    probes: int = 0


_CONTROL = Probe(good_code=True)
_HOW = {
    ChangeKind.LEFT: "passes with {run}, which was taken out of main, and fails without it",
    ChangeKind.ARRIVED: "first fails when {run} is included",
    ChangeKind.REPLACED: "first fails when the new rows of {run} are included",
}


def list_changes(before: Mapping[str, str], now: Mapping[str, str], seqs: Mapping[str, int]) -> tuple[RunChange, ...]:
    """List what differs between two contents (run id → fingerprint): who left first, then by claiming order.

    `seqs` are the runs' places in the claiming order; a run without one comes last.
    """
    left = [RunChange(run_id, ChangeKind.LEFT) for run_id in before if run_id not in now]
    come = [
        RunChange(run_id, ChangeKind.REPLACED if run_id in before else ChangeKind.ARRIVED)
        for run_id, content in now.items()
        if before.get(run_id) != content
    ]

    def place(change: RunChange) -> tuple[bool, float, str]:
        return change.kind is not ChangeKind.LEFT, seqs.get(change.run_id, float("inf")), change.run_id

    return tuple(sorted((*left, *come), key=place))


def find_culprit(
    good: str, changes: tuple[RunChange, ...], answers: Mapping[Probe, bool], *, has_new_code: bool
) -> Probe | Culprit:
    """Say what to build next, or who turned all `changes` together with the code that is asked about red.

    `answers` says of each probe so far whether it was green. First the data of the dartifact `good` is built: red means
    new code, unless its own code is red there, too, by now. Green means data: halving finds two neighbours of which
    one is green and one is red, in at most ceil(log2(changes)) further builds.
    """
    known = {Probe(len(changes)): False, **answers}
    if Probe() not in known:
        return Probe()
    if not known[Probe()]:
        return _ask_code(good, known, len(answers), has_new_code)
    green, red = 0, len(changes)
    while red - green > 1:
        middle = (green + red) // 2
        if Probe(middle) not in known:
            return Probe(middle)
        green, red = (middle, red) if known[Probe(middle)] else (green, middle)
    guilty = changes[red - 1]
    kind = CulpritKind.REMOVAL if guilty.kind is ChangeKind.LEFT else CulpritKind.DATA
    how = _HOW[guilty.kind].format(run=guilty.run_id)
    reason = f"the culprit is data: {how}; the data of {good} is green ({_count(len(answers))})"
    return Culprit(kind, reason, guilty.run_id, len(answers))


def _ask_code(good: str, known: Mapping[Probe, bool], probes: int, has_new_code: bool) -> Probe | Culprit:
    if has_new_code and _CONTROL not in known:
        return _CONTROL
    if has_new_code and known[_CONTROL]:
        reason = f"the culprit is code: it also fails on the data of {good}, where the code of {good} passes"
        return Culprit(CulpritKind.CODE, f"{reason} ({_count(probes)})", probes=probes)
    why = f"{good} was green and is red when rebuilt: the outcome depends on more than data and code"
    return cannot_tell(why, probes)


def cannot_tell(why: str, probes: int = 0) -> Culprit:
    """Say that nobody can be named, and why."""
    return Culprit(CulpritKind.UNKNOWN, f"cause undetermined (code or data): {why} ({_count(probes)})", probes=probes)


def _count(probes: int) -> str:
    return f"{probes} probe build{'' if probes == 1 else 's'}"
