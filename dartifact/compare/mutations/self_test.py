"""The self-test's loop: every fault in doses, every harmless variation once; who stops it is asked of the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dartifact.compare.mutations.faults import FAULTS
from dartifact.compare.mutations.harmless import HARMLESS
from dartifact.compare.mutations.work import ALL, Dose, Mutation, Table
from dartifact.domain.progress import Progress

DOSE = 0.1
"""The share of rows in which a fault has to be stopped to count as caught."""
_LADDER = (0.01, 0.03, DOSE, 0.3, 0.5, ALL)


@dataclass(frozen=True, slots=True)
class Stop:
    """Who stopped a mutated batch: the gate, the check, and its sentence."""

    gate: str
    check: str
    message: str


Ask = Callable[[str], Stop | None]
"""Given the query of a mutated batch, says who stops it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one mutation. `smallest_dose` is the least share of rows that was stopped, None if none was.

    `stopped_by` is the gate that stops the dose of 10 % (all of the batch, for what has no dose), `check` its check.
    `columns` is None where the mutation fits no column.
    """

    name: str
    words: str
    columns: tuple[str, ...] | None = None
    stopped_by: str | None = None
    check: str | None = None
    message: str | None = None
    smallest_dose: float | None = None


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the checks of one dataset stop: a trial for each fault and each harmless variation."""

    dataset: str
    batch: str
    rows: int
    faults: tuple[Trial, ...]
    harmless: tuple[Trial, ...]
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def fitting(self) -> tuple[Trial, ...]:
        """Return the trials of the faults that fit a column."""
        return tuple(trial for trial in self.faults if trial.columns is not None)

    @property
    def slipped(self) -> tuple[Trial, ...]:
        """Return those of them that nobody stopped."""
        return tuple(trial for trial in self.fitting if trial.stopped_by is None)

    @property
    def catch_rate(self) -> float:
        """Return the share of fitting faults that were stopped, 0 to 1."""
        return 1 - len(self.slipped) / len(self.fitting) if self.fitting else 0.0

    @property
    def false_alarms(self) -> int:
        """Return how many harmless variations were stopped."""
        return sum(trial.stopped_by is not None for trial in self.harmless)


def run_trials(
    table: Table, ask: Ask, *, seed: int, magnitude: float, progress: Progress
) -> tuple[tuple[Trial, ...], tuple[Trial, ...]]:
    """Try all faults and all harmless variations; return a trial for each."""
    trials: list[list[Trial]] = []
    for mutations in (FAULTS, HARMLESS):
        done = []
        for mutation in mutations:
            done.append(_try(mutation, table, ask, seed, magnitude))
            progress(f"{mutation.name}: {done[-1].stopped_by or 'passes'}")
        trials.append(done)
    return tuple(trials[0]), tuple(trials[1])


def _try(mutation: Mutation, table: Table, ask: Ask, seed: int, magnitude: float) -> Trial:
    def stop(share: float) -> Stop | None:
        mutated = mutation.apply(table, Dose(share, magnitude, seed))
        return ask(mutated.query) if mutated else None

    first = mutation.apply(table, Dose(DOSE, magnitude, seed))
    if first is None:
        return Trial(mutation.name, mutation.words)
    doses: Sequence[float] = _LADDER if mutation.graded else (ALL,)
    decisive = DOSE if mutation.graded else ALL
    found = {decisive: stop(decisive)}
    place = doses.index(decisive)
    if found[decisive] is not None:
        for share in reversed(doses[:place]):
            found[share] = stop(share)
            if found[share] is None:
                break
    else:
        for share in doses[place + 1 :]:
            found[share] = stop(share)
            if found[share] is not None:
                break
    stopped = found[decisive]
    smallest = min((share for share, who in found.items() if who is not None), default=None)
    told = stopped or (found[smallest] if smallest is not None else None)
    return Trial(
        mutation.name,
        mutation.words,
        first.columns,
        stopped.gate if stopped else None,
        told.check if told else None,
        told.message if told else None,
        smallest,
    )
