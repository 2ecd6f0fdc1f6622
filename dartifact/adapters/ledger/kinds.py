"""The kinds of columns: each takes on every database what is written, or refuses it on every one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from dartifact.domain import errors
from dartifact.domain.storable import clean_json, clean_text, cut_text, shorten_name


class UtcTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC times with microseconds on every database (SQLite drops the zone)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Refuse naive times, store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive time cannot be stored: {value}")
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(sa.types.TypeDecorator[str]):
    """A text that people or programs write: any length is taken, what is beyond `most` is cut off."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, most: int = 10_000) -> None:
        super().__init__()
        self.most = most

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Clean and cut."""
        return None if value is None else cut_text(value, self.most)


class Name(sa.types.TypeDecorator[str]):
    """A name that people or other programs choose: a long one is shortened, so that it stays another one.

    Who looks for it by its whole name finds it.
    """

    impl = sa.String
    cache_ok = True

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Clean and shorten."""
        return None if value is None else shorten_name(value, self.most)


class Id(sa.types.TypeDecorator[str]):
    """An id: others are told it, so it is kept as it is or refused, on every database."""

    impl = sa.String
    cache_ok = True

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Refuse what is too long or cannot be stored."""
        if value is not None and (len(value) > self.most or clean_text(value) != value):
            why = f"longer than {self.most} characters" if len(value) > self.most else "not a text that can be stored"
            raise errors.LedgerRefused(f"the id {cut_text(value, 60)} is {why}", hint="use shorter names")
        return value

    def coerce_compared_value(self, op: Any, value: Any) -> sa.types.TypeEngine[Any]:
        """Let whoever looks for an id that cannot be find nothing."""
        return Words()


class Json(sa.types.TypeDecorator[Any]):
    """A JSON value that every database takes: `domain.storable.clean_json`."""

    impl = sa.JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """Clean."""
        return clean_json(value)

    def coerce_compared_value(self, op: Any, value: Any) -> sa.types.TypeEngine[Any]:
        """Compare as JSON does."""
        return self.impl_instance.coerce_compared_value(op, value)


Texts = Words | Name | Id


def store_as(table: sa.Table, values: dict[str, Any]) -> dict[str, Any]:
    """Return values of a table's columns as the table will give them back: to be sealed, say."""
    stored = dict(values)
    for name, value in values.items():
        kind = table.c[name].type
        if isinstance(kind, Texts | Json):
            stored[name] = kind.process_bind_param(value, None)
    return stored
