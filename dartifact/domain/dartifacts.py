"""Dartifacts: the immutable unit of data and the configuration that produced it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from dartifact.domain.errors import IllegalTransition


class DartifactState(StrEnum):
    """Where a dartifact is on its way."""

    BUILDING = "building"
    RED = "red"
    GREEN = "green"
    APPROVED = "approved"
    LIVE = "live"
    SUPERSEDED = "superseded"
    BAD = "bad"


# What may be promoted; the newest is.
WAITING = (DartifactState.GREEN, DartifactState.APPROVED)
# What staging has passed and nobody found bad since.
PASSED = (*WAITING, DartifactState.LIVE, DartifactState.SUPERSEDED)

TRANSITIONS: dict[DartifactState, frozenset[DartifactState]] = {
    DartifactState.BUILDING: frozenset({DartifactState.RED, DartifactState.GREEN}),
    DartifactState.RED: frozenset({DartifactState.BUILDING}),
    DartifactState.GREEN: frozenset({DartifactState.APPROVED, DartifactState.SUPERSEDED, DartifactState.BAD}),
    DartifactState.APPROVED: frozenset({DartifactState.LIVE, DartifactState.SUPERSEDED, DartifactState.BAD}),
    DartifactState.LIVE: frozenset({DartifactState.SUPERSEDED, DartifactState.BAD}),
    DartifactState.SUPERSEDED: frozenset({DartifactState.APPROVED, DartifactState.LIVE, DartifactState.BAD}),
    DartifactState.BAD: frozenset(),
}


class MartFigures(TypedDict, total=False):
    """How many rows a mart has, and the digest of its file."""

    rows: int
    sha256: str


class PassportMain(TypedDict):
    """The head of `main` that was built."""

    commit: str
    meta_range: str


class PassportInputs(TypedDict, total=False):
    """What went in: the fingerprint of the raw data, the digest of the code, the staging configuration."""

    raw: str
    code: str
    configuration: dict[str, str]


class RefusedCode(TypedDict):
    """The code that was not built, why, and the dartifact whose code was built instead."""

    code: str
    why: str
    built_with: str


class Cost(TypedDict, total=False):
    """What a build cost: seconds, and bytes of raw data."""

    seconds: float
    bytes: int


class Passport(TypedDict, total=False):
    """What is known of a build, as it is stored; one that another version wrote may lack keys."""

    dartifact: str
    built_at: str
    main: PassportMain
    inputs: PassportInputs
    refused: RefusedCode | None
    runs: list[str]
    marts: dict[str, MartFigures]
    checks: dict[str, int]
    report: str
    cost: Cost


@dataclass(frozen=True, slots=True)
class Dartifact:
    """One dartifact as the ledger knows it; `commit` is the build commit, None while building or when red.

    `passport` is what the lake holds as `_dartifact/passport.json`. `created` numbers dartifacts in building order.
    """

    dartifact_id: str
    created: int
    state: DartifactState
    code_digest: str
    main_commit: str
    runs: tuple[str, ...]
    created_at: datetime
    commit: str | None = None
    meta_range: str | None = None
    reasons: tuple[str, ...] = ()
    passport: Passport | None = None


class BlameKind(StrEnum):
    """What can be found guilty."""

    RUN = "run"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Blame:
    """What a rollback or staging found guilty: a run or a code digest. Later dartifacts holding it are refused."""

    kind: BlameKind
    value: str


@dataclass(frozen=True, slots=True)
class Cause:
    """What a person says was the cause of a rollback; nothing at all means that nobody knows it.

    `runs` names runs of the dartifact that leaves, `every_run` means all that the one brought back has not, `code` is
    that of the one that leaves. With `unknown` promotions are frozen, whatever else is named.
    """

    runs: tuple[str, ...] = ()
    every_run: bool = False
    code: bool = False
    unknown: bool = False

    @classmethod
    def parse(cls, words: Iterable[str]) -> Cause:
        """Read what a person names: `runs`, `code`, `unknown`, or the ids of runs."""
        named = tuple(words)
        known = {"runs", "code", "unknown"}
        return cls(
            tuple(word for word in named if word not in known), "runs" in named, "code" in named, "unknown" in named
        )


def fingerprint(entries: Iterable[tuple[str, str]]) -> str:
    """Digest (path, checksum) pairs, in any order: equal content has an equal fingerprint."""
    return hashlib.sha256("\n".join(f"{path}\0{checksum}" for path, checksum in sorted(entries)).encode()).hexdigest()


def dartifact_id(raw: str, code: str, configuration: Mapping[str, str]) -> str:
    """Hash what goes in: the fingerprint of `main`'s raw data, the digest of the code, the staging configuration."""
    key = json.dumps([raw, code, dict(configuration)], sort_keys=True)
    return f"d{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def check_transition(dartifact_id: str, old: DartifactState, new: DartifactState) -> None:
    """Raise IllegalTransition unless a dartifact may go from `old` to `new`."""
    if new not in TRANSITIONS[old]:
        allowed = ", ".join(sorted(TRANSITIONS[old])) or "nothing"
        raise IllegalTransition(f"dartifact {dartifact_id} is {old}; it can become {allowed}, not {new}")


def find_blamed(dartifact: Dartifact, blames: Iterable[Blame]) -> tuple[str, ...]:
    """Say which blamed runs or code a dartifact contains; empty when it may be promoted."""
    runs = frozenset(dartifact.runs)
    return tuple(
        f"{blame.kind} {blame.value[:60]}"
        for blame in blames
        if (blame.kind is BlameKind.RUN and blame.value in runs)
        or (blame.kind is BlameKind.CODE and blame.value == dartifact.code_digest)
    )
