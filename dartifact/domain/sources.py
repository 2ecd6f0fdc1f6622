"""What a source is: the declaration at the head of each source's flow file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from dartifact.domain.errors import UsageError

SYSTEM_COLUMNS = ("_run_id", "_seq", "_extracted_at", "_deleted")
HAND = "hand"
"""The ingestor of changes that a person makes; every source has it, none declares it."""
LONGEST_NAME = 80
"""Characters that a source or an ingestor may be called by: branches, folders and tables carry the names."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def is_name(text: str) -> bool:
    """Say whether a source or an ingestor can be called so."""
    return len(text) <= LONGEST_NAME and bool(_NAME.fullmatch(text))


@dataclass(frozen=True, slots=True)
class Reference:
    """`column` of the declaring dataset must name an existing `key` of `dataset`."""

    column: str
    dataset: str
    key: str


@dataclass(frozen=True, slots=True)
class Ingestor:
    """One named machine that ingests a source or, with several of them, the shard of its position.

    Without `local_gate` its runs are first checked in the merge queue. With `in_order` they merge in claiming order
    only: a later run waits while an earlier one is neither in `main` nor empty nor rejected.
    """

    name: str
    local_gate: bool = True
    in_order: bool = False


class Evolve(StrEnum):
    """What happens to a run whose columns are not those of the contract.

    `fail`: it fails. `hold`: it waits for a person. `add_nullable`: unknown columns land as nullable text with a
    warning; a column of another type is never taken silently, and fails.
    """

    ADD_NULLABLE = "add_nullable"
    HOLD = "hold"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Source:
    """A system data comes from; brings exactly one dataset of the same name.

    `overlap` is read again by each window, so that rows the source published late are not missed; `max_window` caps
    one window, and `max_rows` about how many rows it brings (None: all there are); `start` is where the first window
    begins; `zone` is the time zone of time stamps that carry none (without it such stamps are refused). `evolve` says
    what happens when the source's columns change. A source that deletes without a word gets a `key_snapshot`: so often
    its keys are compared with what is current, and what it lacks is deleted. `personal` names columns whose values
    viewers of the browser UI do not see. `optional` names columns that the source leaves out of a row in which they
    have no value; any other column that no row of a batch has is missing. One window has to be read within `deadline`.
    """

    name: str
    key: tuple[str, ...]
    ingestors: tuple[Ingestor, ...]
    updated_at: str = "updated_at"
    references: tuple[Reference, ...] = ()
    start: datetime = field(default_factory=lambda: datetime(2021, 1, 1, tzinfo=UTC))
    overlap: timedelta = timedelta(seconds=0)
    max_window: timedelta = timedelta(days=366)
    max_rows: int | None = None
    zone: str | None = None
    evolve: Evolve = Evolve.FAIL
    key_snapshot: timedelta | None = None
    personal: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    deadline: timedelta = timedelta(minutes=30)

    def __post_init__(self) -> None:
        names = [self.name, *(ingestor.name for ingestor in self.ingestors)]
        if not self.key or not self.ingestors or len(set(names[1:])) != len(names) - 1:
            raise ValueError(f"source {self.name!r} needs a key and ingestors with different names")
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError(f"source {self.name!r} needs a max_rows of at least 1, not {self.max_rows}")
        if HAND in names:
            raise ValueError(f"source {self.name!r}: the name {HAND!r} is reserved for changes made by hand")
        for name in names:
            if len(name) > LONGEST_NAME:
                raise ValueError(f"the name {name[:30]}… has {len(name)} characters; {LONGEST_NAME} are possible")
            if not is_name(name):
                raise ValueError(f"{name!r} is not a name: use small letters, digits and _ after a first letter")

    def shard(self, ingestor: str) -> int:
        """Return the shard of a named ingestor, -1 of HAND; ValueError when the source has no such ingestor."""
        if ingestor == HAND:
            return -1
        return [one.name for one in self.ingestors].index(ingestor)

    def require_ingestor(self, name: str) -> None:
        """Raise UsageError, which lists the known ones, when the source has no ingestor of that name."""
        names = [ingestor.name for ingestor in self.ingestors]
        if name not in names:
            raise UsageError(f"{self.name} has no ingestor {name}; it has {', '.join(names)}")


def list_personal(sources: Iterable[Source]) -> tuple[tuple[str, str], ...]:
    """Return the personal (dataset, column) pairs of sources; a column that refers to a personal one is personal."""
    declared = tuple(sources)
    found = {(source.name, column) for source in declared for column in source.personal}
    while (
        more := {
            (source.name, each.column)
            for source in declared
            for each in source.references
            if (each.dataset, each.key) in found
        }
        - found
    ):
        found |= more
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """Where a source answers and, for one that asks for a login, the client and its secret.

    `ca_file` holds the certificates to trust instead of the well-known ones.
    """

    url: str
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    ca_file: Path | None = None
