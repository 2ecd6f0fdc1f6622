"""What is measured here and not by Soda: duplicates and ages.

Soda takes a null for a value in a key of several columns and not in a key of one, compares such keys as one joined
text, and takes a table that holds one row from the future for fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dartifact.adapters.contracts.answers import MOST_KEYS, Answer, spell_tuple
from dartifact.adapters.contracts.contracts import Check
from dartifact.adapters.contracts.words import age_sentence, duplicate_sentence, is_percent, judge_number, worst
from dartifact.domain.checks import Outcome
from dartifact.domain.sql_text import quote
from dartifact.domain.windows import AHEAD

if TYPE_CHECKING:
    import duckdb

_DAY_AHEAD = timedelta(hours=14)
"""A day has begun on the first islands when it is this long until it does in UTC."""
_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"minute": 60, "hour": 3_600, "day": 86_400}


def measure_duplicates(
    con: duckdb.DuckDBPyConnection, dataset: str, check: Check, where: tuple[str, ...], now: datetime
) -> Answer:
    """Count rows that repeat the key of an earlier one; a row without any value in its key repeats nothing.

    The keys stand in the condition as literals: a subquery would have to know the name of the relation it is used on.
    Beyond MOST_KEYS keys there is no condition, only the number.
    """
    names = [check.column] if check.column else list(check.body["columns"])
    columns = ", ".join(quote(name) for name in names)
    own = _own_filter(check)
    rows_asked = f"FROM {quote(dataset)} WHERE {_all((*own, *where))}"
    keyed = " OR ".join(f"{quote(name)} IS NOT NULL" for name in names)
    [[rows, counted]] = con.execute(f"SELECT count(*), count(*) FILTER ({keyed}) {rows_asked}").fetchall()
    texts = ", ".join(f"{quote(name)}::VARCHAR" for name in names)
    found = con.execute(
        f"SELECT count(*), {texts} {rows_asked} AND ({keyed}) GROUP BY {columns} HAVING count(*) > 1 ORDER BY ALL"
    ).fetchall()
    involved = sum(row[0] for row in found)
    repeats = involved - len(found)
    measured = (repeats * 100 / counted if counted else 0.0) if is_percent(check) else float(repeats)
    return Answer(
        judge_number(check, measured),
        measured,
        {"rows_involved": involved, "check_rows_tested": counted},
        _name_keys(names, found, (*own, f"({keyed})")),
        duplicate_sentence(dataset, check, measured, repeats, counted, rows - counted, involved),
    )


def measure_age(
    con: duckdb.DuckDBPyConnection, dataset: str, check: Check, where: tuple[str, ...], now: datetime
) -> Answer:
    """Tell the age of the newest value up to now, and fail (where only a warning is asked for: warn) on later ones.

    A source's clock is believed up to AHEAD ahead of ours: values up to there only warn.
    """
    column = quote(check.body["column"])
    stamp = now.astimezone(UTC)
    is_day = con.execute(f"SELECT typeof({column}) FROM {quote(dataset)} LIMIT 1").fetchall() == [("DATE",)]
    # the day of a date has come with its first moment in UTC, whatever the zone of who reads the condition
    future = f"{column} > DATE '{stamp:%Y-%m-%d}'" if is_day else f"{column} > TIMESTAMPTZ '{stamp.isoformat()}'"
    own = _own_filter(check)
    micros = f"epoch_us({column})"
    [[rows, values, later, newest, latest]] = con.execute(
        f"SELECT count(*), count({column}), count(*) FILTER ({future}), max({micros}) FILTER (NOT ({future})), "
        f"max({micros}) FILTER ({future}) FROM {quote(dataset)} WHERE {_all((*own, *where))}"
    ).fetchall()
    here = (stamp - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
    unit = (check.body.get("threshold") or {}).get("unit", "hour")

    def spell_age(micros: int) -> float:
        return micros // 1_000_000 / _UNITS[unit]

    ahead = timedelta(microseconds=(latest or here) - here)
    believed = ahead <= (_DAY_AHEAD if is_day else AHEAD)
    age = None if newest is None else spell_age(here - newest)
    if age is None and later and believed:
        age = 0.0
    outcomes = [worst(check) if age is None else judge_number(check, age)]
    if later:
        outcomes.append(Outcome.WARNED if believed else worst(check))
    outcome = next(each for each in (Outcome.FAILED, Outcome.WARNED, Outcome.PASSED) if each in outcomes)
    told = None if newest is None else age
    furthest = spell_age(latest - here) if later else 0.0
    return Answer(
        outcome,
        age,
        {"rows_involved": later, "check_rows_tested": rows},
        _all((*own, future)) if later else None,
        age_sentence(dataset, check, told, unit, values, later, rows, furthest),
    )


MEASURES: Mapping[str, Callable[..., Answer]] = {"duplicate": measure_duplicates, "freshness": measure_age}
"""How the kinds of checks that Soda is not asked about are measured."""


def _own_filter(check: Check) -> tuple[str, ...]:
    text = check.body.get("filter")
    return (str(text),) if text else ()


def _all(conditions: tuple[str, ...]) -> str:
    return " AND ".join(f"({part})" for part in conditions) or "TRUE"


def _name_keys(names: list[str], found: list[tuple[int | str | None, ...]], also: tuple[str, ...]) -> str | None:
    """Return a condition that finds the rows of these keys; None where there are none, or too many."""
    keys = [tuple(None if value is None else str(value) for value in row[1:]) for row in found]
    if not keys or len(keys) > MOST_KEYS or any("\0" in (value or "") for key in keys for value in key):
        return None
    columns = ", ".join(quote(name) for name in names)
    left = columns if len(names) == 1 else f"({columns})"
    return " AND ".join([f"{left} IN ({', '.join(map(spell_tuple, keys))})", *(f"({part})" for part in also)])
