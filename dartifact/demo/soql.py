"""The little of Salesforce's query language that the simulated org understands."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_QUERY = re.compile(
    r"SELECT (?P<fields>\w+(?:, ?\w+)*) FROM (?P<object>\w+)(?: WHERE (?P<where>.+?))?"
    r"(?: ORDER BY (?P<order>\w+(?:, ?\w+)*))?(?: LIMIT (?P<limit>\d+))?"
)
_TOKEN = re.compile(r"\s*(\(|\)|>=|<=|>|<|=|'[^']*'|[\w.:+-]+)")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}

Record = dict[str, Any]
Condition = Callable[[Record], bool]


class Refused(Exception):
    """A query that the org refuses, with one of Salesforce's error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Query:
    """A query: fields of an object, a condition on its id and stamp, order and limit."""

    fields: tuple[str, ...]
    object: str
    condition: Condition
    order: tuple[str, ...]
    limit: int | None

    def select(self, records: Sequence[Record]) -> list[Record]:
        """Return the fields of the records that fit."""
        found = [record for record in records if self.condition(record)]
        for name in reversed(self.order):
            found.sort(key=lambda record: str(record[name]))
        return [{name: record[name] for name in self.fields} for record in found[: self.limit]]


def parse_query(text: str, sobject: str, fields: Sequence[str], stamp: str) -> Query:
    """Read a query on an object with these fields; Refused as Salesforce words it."""
    match = _QUERY.fullmatch(" ".join(text.split()))
    if match is None:
        raise Refused("MALFORMED_QUERY", f"unexpected token in '{text[:60]}'")
    if match["object"] != sobject:
        raise Refused("INVALID_TYPE", f"sObject type '{match['object']}' is not supported.")
    names, order = _split(match["fields"]), _split(match["order"])
    condition = _Condition(match["where"], stamp).parse() if match["where"] else lambda _: True
    for name in (*names, *order):
        if name not in fields:
            raise Refused("INVALID_FIELD", f"No such column '{name}' on entity '{sobject}'.")
    return Query(names, sobject, condition, order, int(match["limit"]) if match["limit"] else None)


class _Condition:
    """Reads a condition: comparisons of the stamp and of `Id`, with AND, OR and parentheses."""

    def __init__(self, text: str, stamp: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._stamp = stamp
        if "".join(self._tokens) != "".join(text.split()):
            raise Refused("MALFORMED_QUERY", f"unexpected token in '{text[:60]}'")

    def parse(self) -> Condition:
        """Return the condition; Refused unless it is one to its end."""
        condition = self._any()
        if self._tokens:
            raise Refused("MALFORMED_QUERY", f"unexpected token: {self._tokens[0]}")
        return condition

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._tokens[:1] == ["OR"]:
            self._take()
            parts.append(self._all())
        return lambda record: any(part(record) for part in parts)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._tokens[:1] == ["AND"]:
            self._take()
            parts.append(self._one())
        return lambda record: all(part(record) for part in parts)

    def _one(self) -> Condition:
        name = self._take()
        if name == "(":
            inner = self._any()
            if self._take() != ")":
                raise Refused("MALFORMED_QUERY", "expecting a right parentheses")
            return inner
        compare, value = _OPERATORS.get(self._take()), self._take()
        if name not in ("Id", self._stamp):
            raise Refused("INVALID_FIELD", f"field '{name}' can not be filtered in query call")
        if compare is None or not (value.startswith("'") if name == "Id" else _STAMP.fullmatch(value)):
            raise Refused("MALFORMED_QUERY", f"unexpected token: {value}")
        if name == "Id":
            return lambda record: compare(record["Id"], value[1:-1])
        edge = datetime.fromisoformat(value)
        return lambda record: compare(datetime.fromisoformat(record[name]), edge)

    def _take(self) -> str:
        if not self._tokens:
            raise Refused("MALFORMED_QUERY", "unexpected end of query")
        token: str = self._tokens.pop(0)
        return token


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",")) if text else ()
