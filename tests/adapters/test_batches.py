"""Batches keep every value: in its type where all values of a column fit exactly, as text where one does not."""

import json
import time as clock_time
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.adapters.contracts.contracts import load_contract
from dartifact.adapters.tables.batch_files import add_system_columns, write_parquet
from dartifact.adapters.tables.batches import build_batch, find_strange_names, retype
from dartifact.adapters.tables.typed_values import arrow_type
from dartifact.domain.errors import SourceMalformed, UsageError
from dartifact.domain.sql_text import quote

CHECKS = Path(__file__).parents[2] / "checks"
STAMP = "timestamp with time zone"
NOON = datetime(2021, 1, 1, 12, tzinfo=UTC)


def column(values: list[Any], data_type: str, zone: str | None = None) -> pa.ChunkedArray:
    return build_batch([{"x": value} for value in values], (("x", data_type),), zone=zone)["x"]


@pytest.mark.parametrize(
    ("data_type", "values", "typed"),
    [
        ("bigint", [1, None, "-20", Decimal("3.0"), "0", 2**63 - 1], [1, None, -20, 3, 0, 2**63 - 1]),
        ("integer", [1, "2"], [1, 2]),
        ("double", [1, Decimal("0.1"), "2.5e3", 0.25], [1.0, 0.1, 2500.0, 0.25]),
        (
            "decimal(12,2)",
            [1, Decimal("2.5"), "3.500", "-0.01", "1e3", 0.1],
            [Decimal(text) for text in ("1.00", "2.50", "3.50", "-0.01", "1000.00", "0.10")],
        ),
        ("decimal(38,2)", [Decimal(10**36 - 1)], [Decimal(10**36 - 1)]),
        ("boolean", [True, "false", None], [True, False, None]),
        ("date", ["2021-02-28", None], [date(2021, 2, 28), None]),
        ("varchar", ["a", None, ""], ["a", None, ""]),
        (
            STAMP,
            ["2021-01-01T12:00:00Z", "2021-01-01 13:00:00+01:00", "2021-01-01T07:00:00.000-0500", None],
            [NOON, NOON, NOON, None],
        ),
        (STAMP, ["2021-01-01T12:00:00.1234567Z"], [NOON.replace(microsecond=123456)]),
        ("bigint", [None, None], [None, None]),
    ],
)
def test_values_that_fit_are_typed_exactly(data_type: str, values: list[Any], typed: list[Any]) -> None:
    result = column(values, data_type)
    assert result.type == arrow_type(data_type)
    assert result.to_pylist() == typed


@pytest.mark.parametrize(
    ("data_type", "value", "text"),
    [
        ("bigint", "007", "007"),
        ("bigint", " 5", " 5"),
        ("bigint", "0x10", "0x10"),
        ("bigint", True, "true"),
        ("bigint", Decimal("5.5"), "5.5"),
        ("bigint", 2**63, "9223372036854775808"),
        ("bigint", Decimal("1E+1000000"), "1E+1000000"),
        ("integer", 2**31, "2147483648"),
        ("double", "nan", "nan"),
        ("double", Decimal("1E+399"), "1E+399"),
        ("double", Decimal("1E-390"), "1E-390"),
        ("double", True, "true"),
        ("decimal(12,2)", "abc", "abc"),
        ("decimal(12,2)", Decimal("1.005"), "1.005"),
        ("decimal(12,2)", "1.005", "1.005"),
        ("decimal(12,2)", 10**10, "10000000000"),
        ("decimal(12,2)", "1_000", "1_000"),
        ("decimal(12,2)", "NaN", "NaN"),
        ("decimal(12,2)", Decimal("1E+1000000"), "1E+1000000"),
        ("decimal(12,2)", {"eur": Decimal("1.10")}, '{"eur":1.10}'),
        ("boolean", "yes", "yes"),
        ("boolean", 1, "1"),
        ("date", "2021-02-30", "2021-02-30"),
        ("date", "2021-2-3", "2021-2-3"),
        ("date", "0000-01-01", "0000-01-01"),
        ("date", 18000, "18000"),
        (STAMP, "2021-01-01T12:00:00", "2021-01-01T12:00:00"),
        (STAMP, "2021-01-01", "2021-01-01"),
        (STAMP, 1609459200, "1609459200"),
        (STAMP, "2021-01-01T24:00:00Z", "2021-01-01T24:00:00Z"),
        (STAMP, "2021-02-30T00:00:00Z", "2021-02-30T00:00:00Z"),
        (STAMP, "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_one_value_that_does_not_fit_keeps_the_whole_column_as_text(data_type: str, value: Any, text: str) -> None:
    fitting = {STAMP: "2021-01-01T12:00:00Z", "date": "2021-01-01", "boolean": "true"}.get(data_type, "1")
    result = column([fitting, value, None], data_type)
    assert result.type == pa.string()
    assert result.to_pylist() == [fitting, text, None]


def test_huge_exponents_are_not_written_out() -> None:
    # The worst of them has a quintillion digits: who writes it out runs out of memory.
    for data_type in ("bigint", "double", "decimal(12,2)"):
        values = column([Decimal("1E+999999999999999999"), Decimal("1E-999999999999999999")], data_type)
        assert len(values) == 2


def test_naive_stamps_are_read_in_the_declared_zone() -> None:
    values = ["2021-01-01T13:00:00", "2021-07-01 14:00:00.5", "2021-01-01T12:00:00Z", None]
    assert column(values, STAMP, zone="Europe/Berlin").to_pylist() == [
        NOON,
        datetime(2021, 7, 1, 12, microsecond=500_000, tzinfo=UTC),
        NOON,
        None,
    ]


def test_naive_stamp_that_happened_twice_is_the_first_one() -> None:
    [first] = column(["2021-10-31T02:30:00"], STAMP, zone="Europe/Berlin").to_pylist()
    assert first == datetime(2021, 10, 31, 0, 30, tzinfo=UTC)


def test_unknown_zone_is_refused() -> None:
    for zone in ("Europe/Nowhere", "../etc", ""):
        with pytest.raises(UsageError, match="is not a time zone"):
            build_batch([], (), zone=zone)


def test_missing_keys_are_null_and_unknown_keys_become_text_columns() -> None:
    rows: list[dict[str, object]] = [
        {"id": 1, "tags": ["a", Decimal("1.50"), None]},
        {"id": 2, "name": "Zoë", "more": {"ok": True}},
    ]
    table = build_batch(rows, (("id", "bigint"), ("name", "varchar")), zone=None)
    assert table.column_names == ["id", "name", "more", "tags", "_deleted"]
    assert table.to_pylist() == [
        {"id": 1, "name": None, "more": None, "tags": '["a",1.50,null]', "_deleted": False},
        {"id": 2, "name": "Zoë", "more": '{"ok":true}', "tags": None, "_deleted": False},
    ]


def test_deleted_flag_of_a_row_is_taken() -> None:
    rows: list[dict[str, object]] = [{"_deleted": flag} for flag in (True, False, None, "true", "false")]
    assert build_batch(rows, (), zone=None)["_deleted"].to_pylist() == [True, False, False, True, False]


@pytest.mark.parametrize("flag", ["maybe", 1])
def test_an_odd_flag_is_refused(flag: object) -> None:
    with pytest.raises(SourceMalformed, match="_deleted is"):
        build_batch([{"_deleted": flag}], (("id", "bigint"),), zone=None)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("a\0b", "holds a NUL character"),
        ("_seq", "is reserved"),
        ("_SEQ", "is reserved"),
        ("_Deleted", "is reserved"),
        ("FILE_ROW_NUMBER", "is reserved"),
        ("Id", "differs from id only in case"),
        ("\ud800", "is no Unicode text"),
    ],
)
def test_a_name_that_cannot_be_kept_is_named_and_left_out(name: str, why: str) -> None:
    rows: list[dict[str, object]] = [{"id": 1}, {"id": 2, name: "x"}]
    assert find_strange_names(rows, ["id"]) == {name: why}
    table = build_batch(rows, (("id", "bigint"),), zone=None)
    assert table.to_pylist() == [{"id": 1, "_deleted": False}, {"id": 2, "_deleted": False}]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_any_other_name_is_only_a_name(name: str) -> None:
    rows: list[dict[str, object]] = [{"id": 1, name: "x"}]
    if find_strange_names(rows, ["id"]) or name in ("id", "_deleted"):
        return
    table = build_batch(rows, (("id", "bigint"),), zone=None)
    with duckdb.connect() as connection:
        connection.register("batch", table)
        assert connection.execute(f"SELECT {quote(name)} FROM batch").fetchall() == [("x",)]


def test_two_names_that_differ_only_in_case_and_are_both_unknown_keep_the_first() -> None:
    assert find_strange_names([{"b": 1, "B": 2}], []) == {"b": "differs from B only in case"}


def test_a_column_that_no_row_has_is_left_out_unless_it_is_optional() -> None:
    columns = (("id", "bigint"), ("a", "bigint"), ("b", "bigint"))
    rows: list[dict[str, object]] = [{"id": 1}, {"id": 2, "_deleted": True, "a": None}]
    assert build_batch(rows, columns, zone=None, optional=["b"]).column_names == ["id", "b", "_deleted"]
    assert build_batch(rows, columns, zone=None).column_names == ["id", "a", "b", "_deleted"]
    only_deleted: list[dict[str, object]] = [{"id": 2, "_deleted": True}]
    assert build_batch(only_deleted, columns, zone=None, optional=[]).column_names == ["id", "a", "b", "_deleted"]


def test_values_of_python_are_kept_as_json_spells_them() -> None:
    known = UUID("12345678-1234-5678-1234-567812345678")
    rows: list[dict[str, object]] = [
        {
            "d": date(2021, 1, 2),
            "t": datetime(2021, 1, 2, 3, tzinfo=UTC),
            "u": known,
            "n": Decimal("1.50"),
            "c": time(4, 5),
        }
    ]
    columns = (("d", "date"), ("t", "timestamp with time zone"), ("u", "varchar"), ("n", "decimal(9,2)"))
    assert build_batch(rows, columns, zone=None).to_pylist() == [
        {
            "d": date(2021, 1, 2),
            "t": datetime(2021, 1, 2, 3, tzinfo=UTC),
            "u": str(known),
            "n": Decimal("1.50"),
            "c": "04:05:00",
            "_deleted": False,
        }
    ]


@pytest.mark.parametrize("value", [b"raw", object(), {1, 2}])
def test_a_value_that_has_no_text_is_refused_by_the_name_of_its_column(value: object) -> None:
    with pytest.raises(SourceMalformed, match=f"photo holds {type(value).__name__}"):
        build_batch([{"id": 1, "photo": value}], (("id", "bigint"),), zone=None)


def test_texts_of_an_older_contract_get_their_types_where_each_has_a_place() -> None:
    rows: list[dict[str, object]] = [{"a": "1.5", "b": "x", "c": "7"}, {"a": "0.25", "b": "2", "c": None}]
    before = build_batch(rows, (("a", "varchar"), ("b", "varchar"), ("c", "bigint")), zone=None)
    columns = (("a", "double"), ("b", "bigint"), ("c", "decimal(9,2)"), ("gone", "bigint"))
    table, changed = retype(before, columns, zone=None)
    assert changed == ["a", "c"]
    assert table.to_pylist() == [
        {"a": 1.5, "b": "x", "c": Decimal("7.00"), "_deleted": False},
        {"a": 0.25, "b": "2", "c": None, "_deleted": False},
    ]
    assert retype(table, columns, zone=None)[1] == []


def test_half_a_surrogate_pair_stays_readable() -> None:
    rows: list[dict[str, object]] = [{"x": json.loads('"a\\ud800"')}]
    table = build_batch(rows, (("x", "varchar"),), zone=None)
    assert table.to_pylist() == [{"x": "a\\ud800", "_deleted": False}]


def test_empty_batch_has_all_columns_and_no_rows() -> None:
    contract = load_contract(CHECKS / "orders.yml")
    table = build_batch([], contract.columns, zone=None)
    assert table.num_rows == 0
    assert table.column_names == [*dict(contract.columns), "_deleted"]
    assert [table.schema.field(name).type for name, _ in contract.columns] == [
        arrow_type(data_type) for _, data_type in contract.columns
    ]


def test_system_columns_stand_last_and_the_flag_is_kept() -> None:
    table = build_batch([{"id": 1, "z": "x"}, {"id": 2, "_deleted": True}], (("id", "bigint"),), zone=None)
    full = add_system_columns(table, run_id="orders-dan-1", seq=7, extracted_at=NOON)
    assert full.column_names == ["id", "z", "_run_id", "_seq", "_extracted_at", "_deleted"]
    assert full.to_pylist()[1] == {
        "id": 2,
        "z": None,
        "_run_id": "orders-dan-1",
        "_seq": 7,
        "_extracted_at": NOON,
        "_deleted": True,
    }
    plain = add_system_columns(table.drop_columns(["_deleted"]), run_id="r", seq=1, extracted_at=NOON)
    assert plain["_deleted"].to_pylist() == [False, False]
    assert add_system_columns(table.slice(0, 0), run_id="r", seq=1, extracted_at=NOON).num_rows == 0


def test_naive_extraction_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        add_system_columns(build_batch([], (), zone=None), run_id="r", seq=1, extracted_at=NOON.replace(tzinfo=None))


def test_parquet_has_the_contracts_types_and_equal_bytes_for_equal_tables(tmp_path: Path) -> None:
    contract = load_contract(CHECKS / "orders.yml")
    rows: list[dict[str, object]] = [
        {"order_id": 1, "amount": "12.30", "ordered_at": "2021-01-01T12:00:00Z"},
        {"order_id": 2, "amount": Decimal("0.1"), "ordered_at": "2021-01-01T12:00:00Z"},
    ]
    table = add_system_columns(
        build_batch(rows, contract.columns, zone=None), run_id="orders-dan-1", seq=1, extracted_at=NOON
    )
    write_parquet(table, tmp_path / "one.parquet")
    write_parquet(pa.concat_tables([table.slice(0, 1), table.slice(1)]), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        relation = con.sql(f"FROM '{tmp_path}/one.parquet'")
        types = {name: str(kind).lower() for name, kind in zip(relation.columns, relation.types, strict=True)}
        assert types == {
            **dict(contract.columns),
            "_run_id": "varchar",
            "_seq": "bigint",
            "_extracted_at": STAMP,
            "_deleted": "boolean",
        }
        assert relation.select("amount, epoch_us(ordered_at)").fetchall() == [
            (Decimal("12.30"), 1609502400000000),
            (Decimal("0.10"), 1609502400000000),
        ]


def test_ten_thousand_orders_are_typed_in_well_under_a_third_of_a_second() -> None:
    rows: list[dict[str, object]] = [
        {
            "order_id": i,
            "customer_id": f"C{i % 997:06d}",
            "status": "placed",
            "amount": f"{i % 900}.{i % 100:02d}",
            "currency": "EUR",
            "ordered_at": "2021-01-01T12:00:00.000001Z",
            "updated_at": "2021-01-01T12:00:01.000001Z",
        }
        for i in range(10_000)
    ]
    columns = load_contract(CHECKS / "orders.yml").columns
    times = []
    for _ in range(3):
        began = clock_time.perf_counter()
        build_batch(rows, columns, zone=None)
        times.append(clock_time.perf_counter() - began)
    assert min(times) < 0.3


TYPES = ("varchar", "bigint", "integer", "double", "decimal(12,2)", "boolean", "date", STAMP)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
whole = st.integers(-(2**31), 2**31 - 1)
cents = st.decimals(-(10**9), 10**9, places=2)
fitting: dict[str, st.SearchStrategy[Any]] = {
    "varchar": st.text(max_size=8),
    "bigint": whole | whole.map(str),
    "integer": whole | whole.map(str),
    "double": whole | cents | cents.map(str),
    "decimal(12,2)": cents | cents.map(str) | whole,
    "boolean": st.booleans() | st.sampled_from(["true", "false"]),
    "date": st.dates().map(str),
    STAMP: st.datetimes(timezones=st.just(UTC)).map(lambda stamp: stamp.isoformat().replace("+00:00", "Z")),
}


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Draw rows and declared columns; half of the columns hold nothing but fitting values."""
    columns = {f"c{i}": draw(st.sampled_from(TYPES)) for i in range(draw(st.integers(0, 4)))}
    values = {
        name: st.none() | fitting[data_type] | (anything if draw(st.booleans()) else st.nothing())
        for name, data_type in columns.items()
    }
    extras = dict.fromkeys(draw(st.lists(st.text(max_size=3).map(lambda name: "x" + name), max_size=2)), anything)
    row = st.fixed_dictionaries({}, optional={**values, **extras})
    return draw(st.lists(row, max_size=6)), columns


def is_same(cell: Any, value: Any, kind: pa.DataType) -> bool:
    if value is None or cell is None:
        return value is None and cell is None
    if kind == pa.string():
        return bool(cell == value if isinstance(value, str) else json.loads(cell, parse_float=Decimal) == value)
    if isinstance(cell, bool):
        return cell is {"true": True, "false": False}.get(value, value)
    if isinstance(cell, datetime):
        return cell == datetime.fromisoformat(value)
    if isinstance(cell, date):
        return bool(cell.isoformat() == value)
    return bool(cell == (float(value) if isinstance(cell, float) else Decimal(value)))


@given(batches())
def test_nothing_is_lost(batch: tuple[list[dict[str, object]], dict[str, str]]) -> None:
    rows, columns = batch
    table = build_batch(rows, columns.items(), zone=None)
    assert table.num_rows == len(rows)
    assert set(table.column_names) == {*columns, *(key for row in rows for key in row), "_deleted"}
    for name in table.column_names[:-1]:
        kind = table.schema.field(name).type
        assert kind in (arrow_type(columns.get(name, "varchar")), pa.string())
        for cell, row in zip(table[name].to_pylist(), rows, strict=True):
            assert is_same(cell, row.get(name), kind), (name, cell, row.get(name))


@given(st.sampled_from(TYPES).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(fitting[kind], max_size=5))))
def test_columns_of_fitting_values_are_always_typed(drawn: tuple[str, list[Any]]) -> None:
    data_type, values = drawn
    assert column(values, data_type).type == arrow_type(data_type)
