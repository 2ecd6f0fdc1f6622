"""SQL over the change records of a dataset: what stands now, what is ambiguous, what refers to nothing.

Pure text. Relations hold the dataset's columns, the system columns and `file_row_number`. The rule of the current row
(design: max by `_seq`, `updated_at`, row number) stands here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dartifact.domain.sql_text import quote


def select_current(relation: str, key: Sequence[str], updated_at: str) -> str:
    """Select the current row of each key, system columns kept, deleted rows left out."""
    latest = _latest(key, updated_at)
    return f"SELECT * EXCLUDE (file_row_number) FROM (SELECT * FROM {relation} {latest}) WHERE _deleted IS NOT TRUE"


def select_touched(relation: str, batch: str, key: Sequence[str]) -> str:
    """Select the change records of the keys that a batch brings; keys are compared as text, as in `select_unseen`."""
    same = " AND ".join(f"CAST(r.{name} AS VARCHAR) = CAST(b.{name} AS VARCHAR)" for name in _quote_all(key))
    return f"SELECT r.* FROM {relation} r SEMI JOIN {batch} b ON {same}"


def select_unseen(versions: str, seen: str, same: Mapping[str, str], new: Sequence[str] = ()) -> str:
    """Select the rows of `versions` that are not in `seen`, compared as text, in the order of `row`.

    `same` names, for each column of `seen`, the column of `versions` that holds it as that file does. `new` are columns
    of `versions` that `seen` lacks: a row with a value in one of them is another version.
    """
    compared = [
        f"CAST(r.{quote(own)} AS VARCHAR) IS NOT DISTINCT FROM CAST(s.{quote(name)} AS VARCHAR)"
        for name, own in same.items()
    ]
    compared += [f"r.{name} IS NULL" for name in _quote_all(new)]
    where = f"NOT EXISTS (SELECT 1 FROM {seen} s WHERE {' AND '.join(compared)})"
    return f"SELECT r.* FROM {versions} r WHERE {where} ORDER BY r.row"


def select_not_outdated(relation: str, known: str, key: Sequence[str], updated_at: str) -> str:
    """Select the rows of `relation` of whose key `known` holds no newer version."""
    return f"SELECT r.* FROM {relation} r WHERE NOT EXISTS (SELECT 1 FROM {known} s WHERE {_newer(key, updated_at)})"


def select_overtaking(relation: str, records: str, key: Sequence[str], updated_at: str) -> str:
    """Select the rows of `relation` that are older than a version an earlier run brought, and yet replace it."""
    return (
        f"SELECT r.* FROM {relation} r "
        f"WHERE EXISTS (SELECT 1 FROM {records} s WHERE s._seq < r._seq AND {_newer(key, updated_at)})"
    )


def select_gone(relation: str, there: str, key: Sequence[str], columns: Sequence[str], updated_at: str) -> str:
    """Select the rows of `relation` whose key is not in `there`, as deleted at the one parameter of the query."""
    same = " AND ".join(f"r.{name} = t.{name}" for name in _quote_all(key))
    names = ", ".join(
        f"?::TIMESTAMPTZ AS {name}" if name == quote(updated_at) else f"r.{name}" for name in _quote_all(columns)
    )
    return f"SELECT {names}, true AS _deleted FROM {relation} r WHERE NOT EXISTS (SELECT 1 FROM {there} t WHERE {same})"


def select_ambiguous(relation: str, key: Sequence[str], updated_at: str) -> str:
    """Select the keys that a run brings twice with one stamp and different content: (run, key, stamp, versions)."""
    names, stamp = ", ".join(_quote_all(key)), quote(updated_at)
    body = f"SELECT DISTINCT * EXCLUDE (file_row_number, _seq, _extracted_at) FROM {relation}"
    return (
        f"SELECT _run_id, {names}, {stamp}, count(*) AS versions FROM ({body}) "
        f"GROUP BY _run_id, {names}, {stamp} HAVING count(*) > 1"
    )


def select_null_keys(relation: str, key: Sequence[str]) -> str:
    """Select the rows that lack a part of their key."""
    return f"SELECT _run_id FROM {relation} WHERE {' OR '.join(f'{name} IS NULL' for name in _quote_all(key))}"


def select_orphans(child: str, column: str, parent: str, parent_key: str) -> str:
    """Select the current rows of `child` whose reference names no current row of `parent`: (run, reference)."""
    reference = f"c.{quote(column)}"
    return (
        f"SELECT c._run_id, {reference} AS reference FROM {child} c "
        f"ANTI JOIN {parent} p ON {reference} = p.{quote(parent_key)} WHERE {reference} IS NOT NULL"
    )


def _newer(key: Sequence[str], updated_at: str) -> str:
    # Compared as text and tried as stamps: one side may keep a column as it was brought, untyped.
    same = [f"CAST(r.{name} AS VARCHAR) = CAST(s.{name} AS VARCHAR)" for name in _quote_all(key)]
    stamps = [f"TRY_CAST({side}.{quote(updated_at)} AS TIMESTAMPTZ)" for side in ("s", "r")]
    return " AND ".join([*same, " > ".join(stamps)])


def _latest(key: Sequence[str], updated_at: str) -> str:
    names = ", ".join(_quote_all(key))
    order = f"_seq DESC, {quote(updated_at)} DESC NULLS LAST, file_row_number DESC"
    return f"QUALIFY row_number() OVER (PARTITION BY {names} ORDER BY {order}) = 1"


def _quote_all(names: Sequence[str]) -> list[str]:
    return [quote(name) for name in names]
