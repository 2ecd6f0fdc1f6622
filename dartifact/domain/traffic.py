"""Traffic: who reads which slot, how long a slot was watched, and what its readers say of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dartifact.domain.checks import Outcome, Result
from dartifact.domain.marks import mark

# Longer than from one scheduled look to the next. Of a clock that jumps, no more than this counts.
LOOK_AT_MOST = timedelta(minutes=2)
NAME_AT_MOST = 200


@dataclass(frozen=True, slots=True)
class Consumer:
    """A named reader and what it was last told to read; `plan` is the promotion that was under way then."""

    name: str
    slot: str
    dartifact: str
    commit: str
    plan: str | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class ReportedError:
    """What a consumer said was wrong with what it read."""

    consumer: str
    message: str


@dataclass(frozen=True, slots=True)
class Soak:
    """For how many seconds a slot was watched, up to the last look."""

    seconds: float
    looked_at: datetime

    def look(self, now: datetime) -> Soak:
        """Count the time since the last look; a clock that was set back counts nothing, one set forward not much."""
        passed = min(max(now - self.looked_at, timedelta(0)), LOOK_AT_MOST)
        return Soak(self.seconds + passed.total_seconds(), now)

    def end(self, wanted: float) -> datetime:
        """Return when it will have lasted as long as it should."""
        return self.looked_at + timedelta(seconds=max(wanted - self.seconds, 0))


def judge_errors(reported: Iterable[ReportedError]) -> tuple[Result, ...]:
    """Fail once for each consumer that reported errors; the first and the number of them are told."""
    by_consumer: dict[str, list[str]] = {}
    for error in reported:
        by_consumer.setdefault(error.consumer, []).append(error.message)
    return tuple(
        Result(
            f"traffic.{name}.errors",
            name,
            Outcome.FAILED,
            f"consumer {name} reported {_count(len(messages))}: {mark(messages[0])}",
            measured=len(messages),
            threshold="0",
        )
        for name, messages in sorted(by_consumer.items())
    )


def judge_readers(exposed: Iterable[Consumer], reported: Iterable[ReportedError]) -> tuple[Result, ...]:
    """Judge all exposed consumers: one that reads the slot and reported nothing has passed."""
    failed = judge_errors(reported)
    complained = {result.dataset for result in failed}
    silent = sorted({consumer.name for consumer in exposed} - complained)
    passed = tuple(
        Result(
            f"traffic.{name}.errors",
            name,
            Outcome.PASSED,
            f"consumer {name} reads it and reported no error",
            measured=0,
            threshold="0",
        )
        for name in silent
    )
    return (*failed, *passed)


def _count(number: int) -> str:
    return "an error" if number == 1 else f"{number} errors"
