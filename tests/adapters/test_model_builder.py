"""The builder that stands in for dbt answers what dbt answers: this repository's project on the same faulty data."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from dartifact.adapters.transform.dbt_build import BuildResult, DbtBuilder, export_marts, to_results
from dartifact.domain.checks import Outcome
from dartifact.domain.errors import ChecksErrored
from tests.conftest import PROJECT
from tests.support.models import ModelBuilder

_MART = "models/marts/customer_statistics"
_ORDERS = "1, 'C1', 'paid', 10.00, 'EUR'), (2, 'C1', 'returned', 0.10, 'USD'), (3, 'C9', 'paid', 7.00, 'GBP'"
Change = tuple[str, str, str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project, so that tests can break it under both."""
    return Path(shutil.copytree(PROJECT / "dbt", tmp_path_factory.mktemp("project") / "dbt"))


@pytest.fixture(scope="module")
def dbt(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DbtBuilder]:
    with DbtBuilder(project, tmp_path_factory.mktemp("work")) as builder:
        yield builder


@pytest.fixture
def edit(project: Path) -> Iterator[Callable[[Change], None]]:
    """Return what changes a file of the project: (path, old, new); it is as it was afterwards."""
    before: dict[Path, str] = {}

    def edit(change: Change) -> None:
        path, old, new = project / change[0], change[1], change[2]
        text = path.read_text()
        assert old in text
        before.setdefault(path, text)
        path.write_text(text.replace(old, new))

    yield edit
    for path, text in before.items():
        path.write_text(text)


def seed(folder: Path, *statements: str) -> Path:
    folder.mkdir()
    with duckdb.connect(str(folder / "build.duckdb")) as connection:
        connection.execute("CREATE SCHEMA raw; SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE raw.orders AS SELECT order_id::BIGINT AS order_id, customer_id, status,"
            " amount::DECIMAL(12, 2) AS amount, currency, TIMESTAMPTZ '2021-01-31 23:59:59+00' AS ordered_at,"
            f" ordered_at AS updated_at FROM (VALUES ({_ORDERS})) g(order_id, customer_id, status, amount, currency)"
        )
        connection.execute(
            "CREATE TABLE raw.customers AS SELECT 'C1' AS customer_id, 'consumer' AS segment, 'DE' AS country,"
            " TIMESTAMPTZ '2021-01-01 00:00:00+00' AS updated_at"
        )
        for statement in statements:
            connection.execute(statement)
    return folder


def read_tables(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    query = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema <> 'raw' ORDER BY ALL"
    with duckdb.connect(str(folder / "build.duckdb"), read_only=True) as connection:
        names = [f"{schema}.{name}" for schema, name in connection.execute(query).fetchall()]
        described = {f"types of {each}": connection.execute(f"DESCRIBE {each}").fetchall() for each in names}
        return described | {each: connection.execute(f"FROM {each} ORDER BY ALL").fetchall() for each in names}


def tell(build: BuildResult) -> list[tuple[object, ...]]:
    """Return what of a build becomes of a report, without the words of a database or of dbt."""
    return [(each.check, each.dataset, each.column, each.outcome, each.failing_rows) for each in to_results(build)]


@pytest.mark.parametrize(
    ("statement", "change", "red"),
    [
        pytest.param("", None, set(), id="good"),
        pytest.param("DELETE FROM raw.orders; DELETE FROM raw.customers", None, set(), id="no rows"),
        pytest.param("UPDATE raw.orders SET status = NULL WHERE order_id < 3", None,
                     {"not_null_stg_orders_status"}, id="missing values"),
        pytest.param("INSERT INTO raw.orders FROM raw.orders", None, {"unique_stg_orders_order_id"}, id="twice"),
        pytest.param("UPDATE raw.orders SET currency = 'CHF' WHERE order_id = 1", None,
                     {"accepted_values_stg_orders_currency", "not_null_stg_orders_amount_eur"}, id="no rate"),
        pytest.param("UPDATE raw.orders SET amount = -amount", None,
                     {"at_least_customer_statistics_revenue"}, id="less than nothing"),
        pytest.param("", (f"{_MART}.sql", "sum(earned)", "sum(earnings)"),
                     {"customer_statistics"}, id="broken model"),
        pytest.param("", (f"{_MART}.sql", "decimal(38, 2)", "decimal(20, 2)"),
                     {"customer_statistics"}, id="broken contract"),
        pytest.param("DROP TABLE raw.customers", None, {"stg_customers"}, id="a source that is not there"),
    ],
)  # fmt: skip
def test_it_answers_what_dbt_answers(
    dbt: DbtBuilder, project: Path, edit: Callable[[Change], None], tmp_path: Path,
    statement: str, change: Change | None, red: set[str],
) -> None:  # fmt: skip
    if change:
        edit(change)
    theirs, ours = seed(tmp_path / "dbt", statement), seed(tmp_path / "models", statement)
    by_dbt, by_us = dbt.build(theirs), ModelBuilder(project).build(ours)
    assert tell(by_us) == tell(by_dbt)
    assert by_us.green == by_dbt.green
    assert {node.name for node in by_us.nodes if node.outcome not in (Outcome.PASSED, Outcome.SKIPPED)} == red
    assert read_tables(ours) == read_tables(theirs)
    if by_us.green:
        one, other = export_marts(theirs, tmp_path / "one"), export_marts(ours, tmp_path / "other")
        assert {name: path.read_bytes() for name, path in one.items()} == {
            name: path.read_bytes() for name, path in other.items()
        }


def test_a_folder_without_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChecksErrored, match=r"no build\.duckdb"):
        ModelBuilder(PROJECT / "dbt").build(tmp_path)


def test_a_builder_of_another_project_builds_that(
    project: Path, edit: Callable[[Change], None], tmp_path: Path
) -> None:
    edit((f"{_MART}.sql", "count(*) as orders", "count(*) + 1 as orders"))
    with ModelBuilder(PROJECT / "dbt").of_project(project, tmp_path) as builder:
        builder.build(seed(tmp_path / "build"))
    assert {row[4] for row in read_tables(tmp_path / "build")["marts.customer_statistics"]} == {2, 3}
