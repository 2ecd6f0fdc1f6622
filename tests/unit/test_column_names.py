"""Which names a column can be kept under."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.domain.column_names import find_name_fault, find_twins
from dartifact.domain.sources import SYSTEM_COLUMNS

RESERVED = (*SYSTEM_COLUMNS, "file_row_number", "filename", "_row", "_reason")


@pytest.mark.parametrize("name", [each for one in RESERVED for each in (one, one.upper(), one.title())])
def test_reserved_name_is_refused_in_any_case(name: str) -> None:
    assert find_name_fault(name) == "is reserved"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("a\0b", "holds a NUL character"),
        ("\0", "holds a NUL character"),
        ("a\ud83d", "is no Unicode text"),
    ],
)
def test_name_that_cannot_be_stored_is_refused(name: str, fault: str) -> None:
    assert find_name_fault(name) == fault


@pytest.mark.parametrize(
    "name", ["id", "Order ID", 'a"b', "Straße", "_rows", "row", "deleted", "1", "select", "a;b", "😀"]
)
def test_any_other_name_is_kept(name: str) -> None:
    assert find_name_fault(name) == ""


def test_names_that_differ_only_in_case_are_twins_of_the_first() -> None:
    assert find_twins(["Id", "name", "ID", "id", "NAME"]) == {"ID": "Id", "id": "Id", "NAME": "name"}


def test_names_of_other_letters_are_no_twins() -> None:
    assert find_twins(["strasse", "straße", "id", "id "]) == {}


def test_same_name_twice_is_no_twin() -> None:
    assert find_twins(["id", "id"]) == {}


def test_twins_may_come_from_an_iterator() -> None:
    assert find_twins(iter(["a", "A"])) == {"A": "a"}


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=1, max_size=5, unique=True))
def test_fit_names_without_twins_are_a_table_of_their_own(names: list[str]) -> None:
    fit = [name for name in names if not find_name_fault(name)]
    columns = [name for name in fit if name not in find_twins(fit)]
    if columns:
        quoted = ", ".join('"' + name.replace('"', '""') + '" BIGINT' for name in columns)
        with duckdb.connect() as con:
            con.execute(f"CREATE TABLE t ({quoted})")
            assert [row[0] for row in con.execute("DESCRIBE t").fetchall()] == columns
