"""The dbt adapter against the real dbt: this repository's project on seven orders whose sums are known by hand."""

import datetime as dt
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import duckdb
import psutil
import pytest

from dartifact.adapters.transform.dbt_build import (
    BuildResult,
    DbtBuilder,
    NodeResult,
    export_marts,
    run_sql_checks,
    to_results,
)
from dartifact.domain.checks import Outcome, VerdictKind, judge
from dartifact.domain.errors import ChecksErrored
from dartifact.domain.marks import show_values

ROOT = Path(__file__).parents[2]
CHECKS = ROOT / "checks" / "integration"

CUSTOMERS = "('C000001', 'corporate', 'DE'), ('C000002', 'consumer', 'FR'), ('C000003', 'consumer', 'FR')"
ORDERS = (
    (1, "C000001", "paid", "100.00", "EUR", "2021-01-31 23:59:59+00"),
    (2, "C000001", "shipped", "10.01", "USD", "2021-01-05 00:00:00+00"),  # 8.5085: up to 8.51
    (3, "C000001", "cancelled", "50.00", "EUR", "2021-01-06 00:00:00+00"),
    (4, "C000002", "placed", "20.00", "GBP", "2021-02-01 00:30:00+02"),  # still January in UTC; 23.00
    (5, "C000003", "returned", "30.00", "EUR", "2021-02-10 00:00:00+00"),
    (6, "C000002", "paid", "0.10", "USD", "2021-02-01 00:00:00+00"),  # 0.085: half a cent goes up to 0.09
    (7, "C999999", "paid", "7.00", "EUR", "2021-01-15 00:00:00+00"),  # its customer has not arrived
)
JANUARY, FEBRUARY = dt.date(2021, 1, 1), dt.date(2021, 2, 1)
STATISTICS = [
    ("consumer", "FR", JANUARY, 1, 1, Decimal("23.00")),
    ("consumer", "FR", FEBRUARY, 2, 2, Decimal("0.09")),
    ("corporate", "DE", JANUARY, 1, 3, Decimal("108.51")),
    ("unknown", "unknown", JANUARY, 1, 1, Decimal("7.00")),
]


def seed(folder: Path, *statements: str, orders: str = ", ".join(map(str, ORDERS))) -> Path:
    """Write the build.duckdb of a new folder: current rows as views, changed by further statements on `lake.*`."""
    folder.mkdir(parents=True)
    system = "'run', 1::bigint, now(), false"
    with duckdb.connect(str(folder / "build.duckdb")) as connection:
        connection.execute("create schema lake; create schema raw; set TimeZone = 'UTC'")
        connection.execute(
            "create table lake.orders as select order_id::bigint as order_id, customer_id, status,"
            " amount::decimal(12, 2) as amount, currency, ordered_at::timestamptz as ordered_at,"
            f" ordered_at::timestamptz as updated_at from (values {orders})"
            " as given(order_id, customer_id, status, amount, currency, ordered_at)"
        )
        connection.execute(
            "create table lake.customers as select customer_id, 'A name' as name, 'a@b.example' as email, segment,"
            f" country, now() as updated_at from (values {CUSTOMERS}) as given(customer_id, segment, country)"
        )
        for statement in statements:
            connection.execute(statement)
        for name in ("orders", "customers"):
            names = "_run_id, _seq, _extracted_at, _deleted"
            connection.execute(
                f"create view raw.{name} as select * from lake.{name} cross join (select {system}) as system({names})"
            )
    return folder


def read_statistics(folder: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "build.duckdb"), read_only=True) as connection:
        return connection.execute("from marts.customer_statistics order by all").fetchall()


def find(build: BuildResult, name: str) -> NodeResult:
    (found,) = (node for node in build.nodes if node.name == name)
    return found


def find_workers() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "dartifact.adapters.transform.dbt_worker" in each.cmdline()]


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def list_files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project, so that tests can break it under the one builder."""
    return Path(shutil.copytree(ROOT / "dbt", tmp_path_factory.mktemp("project") / "dbt"))


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def builder(project: Path, work_dir: Path) -> Iterator[DbtBuilder]:
    with DbtBuilder(project, work_dir) as one:
        # Warmed by a thread that ends at once: the process must outlive it.
        thread = threading.Thread(target=one.warm)
        thread.start()
        thread.join()
        yield one


@pytest.fixture(scope="module")
def good(builder: DbtBuilder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildResult]:
    folder = seed(tmp_path_factory.mktemp("good") / "build")
    warmed = find_workers()
    build = builder.build(folder)
    assert find_workers() == warmed
    return folder, build


@contextmanager
def edited(file: Path, old: str, new: str) -> Iterator[None]:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    try:
        yield
    finally:
        file.write_text(text)


def test_good_build_is_green_and_exact_to_the_cent(good: tuple[Path, BuildResult]) -> None:
    folder, build = good
    assert build.green
    assert read_statistics(folder) == STATISTICS
    assert {node.kind for node in build.nodes} == {"model", "test"}
    assert judge(to_results(build)).kind is VerdictKind.PASS
    assert build.seconds > 0


def test_models_land_in_schemas_of_exactly_their_names_and_types(good: tuple[Path, BuildResult]) -> None:
    query = "select table_schema || '.' || table_name from information_schema.tables order by all"
    with duckdb.connect(str(good[0] / "build.duckdb"), read_only=True) as connection:
        tables = [name for (name,) in connection.execute(query).fetchall()]
        described = connection.execute("describe marts.customer_statistics").fetchall()
    assert [name for name in tables if not name.startswith(("lake.", "raw."))] == [
        "marts.customer_statistics",
        "staging.stg_customers",
        "staging.stg_orders",
    ]
    assert [(column[0], column[1].lower()) for column in described] == [
        ("segment", "varchar"),
        ("country", "varchar"),
        ("month", "date"),
        ("customers", "bigint"),
        ("orders", "bigint"),
        ("revenue", "decimal(38,2)"),
    ]


def test_check_ids_are_stable_and_name_dataset_and_column(good: tuple[Path, BuildResult]) -> None:
    results = {result.check: result for result in to_results(good[1])}
    assert len(results) == len(good[1].nodes)
    assert list(results) == sorted(results)
    assert {"dbt.model.customer_statistics", "dbt.test.at_least_customer_statistics_revenue"} <= results.keys()
    not_null = results["dbt.test.not_null_stg_orders_ordered_at"]
    assert (not_null.dataset, not_null.column, not_null.outcome) == ("stg_orders", "ordered_at", Outcome.PASSED)
    assert "ordered_at is null" in (find(good[1], "not_null_stg_orders_ordered_at").compiled_sql or "")


def test_two_independent_builds_export_the_same_bytes(builder: DbtBuilder, tmp_path: Path) -> None:
    many = (
        "insert into lake.orders select 100 + i, 'C' || lpad((i * 7919 % 3000)::varchar, 6, '0'), 'paid',"
        " ((i * 37) % 10000)::decimal(12, 2) / 100, ['EUR', 'USD', 'GBP'][1 + i % 3],"
        " '2021-01-01 00:00:00+00'::timestamptz + to_minutes((i * 11 % 500000)::int), now() from range(30000) as t(i)"
    )
    exported = []
    for number, order in enumerate(("hash(i)", "i desc")):
        folder = seed(tmp_path / str(number), f"{many} order by {order}")
        assert builder.build(folder).green
        exported.append(export_marts(folder, tmp_path / f"out{number}"))
    one, other = exported
    assert list(one) == list(other) == ["customer_statistics"]
    assert one["customer_statistics"].read_bytes() == other["customer_statistics"].read_bytes()
    rows = duckdb.sql(f"select count(*), sum(orders) from '{one['customer_statistics']}'").fetchone()
    assert rows is not None
    assert rows[0] > 20
    assert rows[1] == 30007


def test_failing_test_is_a_failed_result_with_its_count(builder: DbtBuilder, tmp_path: Path) -> None:
    folder = seed(
        tmp_path / "build",
        "update lake.orders set status = null where order_id in (1, 2, 3)",
        "update lake.orders set currency = 'CHF' where order_id = 1",
    )
    build = builder.build(folder)
    results = {result.check: result for result in to_results(build)}
    failed = results["dbt.test.not_null_stg_orders_status"]
    assert (failed.outcome, failed.failing_rows) == (Outcome.FAILED, 3)
    assert failed.message == "dbt test not_null_stg_orders_status: 3 failing rows in stg_orders"
    assert results["dbt.model.customer_statistics"].outcome is Outcome.SKIPPED
    assert not build.green
    assert judge(to_results(build)).kind is VerdictKind.FAIL
    # A currency without a rate is caught as well, and never counts as nothing.
    assert find(build, "not_null_stg_orders_amount_eur").failures == 1
    assert find(build, "accepted_values_stg_orders_currency").outcome is Outcome.FAILED


def test_no_data_yet_is_an_empty_mart_and_green(builder: DbtBuilder, tmp_path: Path) -> None:
    folder = seed(tmp_path / "build", "delete from lake.orders", "delete from lake.customers")
    assert builder.build(folder).green
    assert read_statistics(folder) == []
    assert all(result.outcome is Outcome.PASSED for result in run_sql_checks(folder, CHECKS))


def test_broken_model_is_failed_and_named_in_one_line(builder: DbtBuilder, project: Path, tmp_path: Path) -> None:
    with edited(project / "models/marts/customer_statistics.sql", "sum(earned)", "sum(earnings)"):
        build = builder.build(seed(tmp_path / "build"))
    broken = find(build, "customer_statistics")
    assert (broken.kind, broken.outcome) == ("model", Outcome.FAILED)
    assert 'column "earnings" not found' in broken.message
    assert "\n" not in broken.message
    assert find(build, "not_null_stg_orders_status").outcome is Outcome.PASSED
    assert not build.green


def test_broken_contract_names_the_column(builder: DbtBuilder, project: Path, tmp_path: Path) -> None:
    with edited(project / "models/marts/customer_statistics.yml", "decimal(38,2)", "double"):
        build = builder.build(seed(tmp_path / "build"))
    broken = find(build, "customer_statistics")
    assert broken.outcome is Outcome.FAILED
    assert "revenue | DECIMAL(38,2) | DOUBLE" in broken.message


def test_unreadable_file_of_the_lake_blames_nobody(builder: DbtBuilder, tmp_path: Path) -> None:
    gone = tmp_path / "gone.parquet"
    view = f"create view lake.gone as from '{gone}'"
    folder = seed(
        tmp_path / "build",
        f"copy lake.customers to '{gone}'",
        "drop table lake.customers",
        view,
        "create view lake.customers as from lake.gone",
    )
    gone.unlink()
    build = builder.build(folder)
    assert find(build, "stg_customers").outcome is Outcome.ERRORED
    assert judge(to_results(build)).kind is VerdictKind.HOLD


def test_test_that_cannot_be_asked_is_errored_and_a_warning_only_warns(
    builder: DbtBuilder, project: Path, tmp_path: Path
) -> None:
    file = project / "models/marts/customer_statistics.yml"
    with (
        edited(project / "tests/generic/at_least.sql", "{{ minimum }}", "{{ minimum }} + nothing"),
        edited(file, "values: [consumer,", "values: ["),
        edited(file, "name: accepted", "config: {severity: warn}\n              name: accepted"),
    ):
        build = builder.build(seed(tmp_path / "build"))
    assert find(build, "at_least_customer_statistics_revenue").outcome is Outcome.ERRORED
    warned = find(build, "accepted_values_customer_statistics_segment")
    assert (warned.outcome, warned.failures) == (Outcome.WARNED, 1)
    assert not build.green


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("models/staging/stg_orders.yml", "models:", "models: ][", "staging/stg_orders.yml"),
        ("models/marts/customer_statistics.sql", "ref('stg_orders')", "ref('stg_ordres')", "stg_ordres"),
        ("models/staging/stg_orders.yml", "data_tests: [unique", "data_testss: [unique", "data_testss"),
        ("models/staging/stg_orders.yml", "- name: stg_orders", "- name: stg_ordres", "stg_ordres"),
        ("dbt_project.yml", "name: dartifact", "naem: dartifact", "key naem in file `dbt_project.yml`"),
    ],
)
def test_project_that_does_not_parse_is_a_failed_result(
    builder: DbtBuilder, project: Path, tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    with edited(project / file, old, new):
        build = builder.build(seed(tmp_path / "build"))
    (fault,) = to_results(build)
    assert (fault.check, fault.outcome) == ("dbt.project.parse", Outcome.FAILED)
    assert said in fault.message
    assert "\n" not in fault.message


def test_second_build_reads_the_new_database_in_the_same_process(builder: DbtBuilder, tmp_path: Path) -> None:
    first, second = seed(tmp_path / "1"), seed(tmp_path / "2", "delete from lake.orders where order_id > 1")
    builder.build(first)
    (worker,) = find_workers()
    builder.build(second)
    assert find_workers() == [worker]
    assert read_statistics(first) == STATISTICS
    assert read_statistics(second) == [("corporate", "DE", JANUARY, 1, 1, Decimal("100.00"))]


def test_killed_worker_is_replaced_and_takes_no_flags_from_the_environment(
    builder: DbtBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder.warm()
    (idle,) = find_workers()
    offspring = [idle, *idle.children(recursive=True)]
    idle.kill()
    monkeypatch.setenv("DBT_EMPTY", "true")
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "elsewhere"))
    half = seed(tmp_path / "half")

    def kill_at_work() -> None:
        wait_until((half / "logs" / "dbt.log").exists)
        for worker in find_workers():
            worker.kill()

    killer = threading.Thread(target=kill_at_work)
    killer.start()
    with pytest.raises(ChecksErrored, match="ended during the build: status -9"):
        builder.build(half)
    killer.join()
    whole = seed(tmp_path / "whole")
    assert builder.build(whole).green
    assert read_statistics(whole) == STATISTICS
    assert wait_until(lambda: not any(runs(process) for process in offspring))


def test_build_that_hangs_is_stopped(project: Path, work_dir: Path, tmp_path: Path) -> None:
    before = find_workers()
    with DbtBuilder(project, work_dir, timeout=0.5) as impatient:
        with pytest.raises(ChecksErrored, match=r"longer than 0\.5 s"):
            impatient.build(seed(tmp_path / "build"))
        assert find_workers() == before


def test_database_that_is_none_could_not_be_asked(builder: DbtBuilder, tmp_path: Path) -> None:
    with pytest.raises(ChecksErrored, match=r"no build\.duckdb"):
        builder.build(tmp_path)
    (tmp_path / "build.duckdb").write_bytes(b"x" * 5000)
    with pytest.raises(ChecksErrored, match="not a valid DuckDB database"):
        builder.build(tmp_path)
    with pytest.raises(ChecksErrored, match="not a valid DuckDB database"):
        run_sql_checks(tmp_path, CHECKS)


def test_project_may_be_read_only_and_damaged_parse_is_harmless(
    builder: DbtBuilder, good: tuple[Path, BuildResult], project: Path, work_dir: Path, tmp_path: Path
) -> None:
    assert good[1].green
    kept = list(work_dir.glob("parse-*.bin"))
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:-100] + b"!" * 100)
    folders = [project, *(path for path in project.rglob("*") if path.is_dir())]
    before = list_files(project)
    for path in folders:
        path.chmod(0o555)
    try:
        assert builder.build(seed(tmp_path / "build")).green
    finally:
        for path in folders:
            path.chmod(0o755)
    assert list_files(project) == before


def test_nothing_is_left_after_close(project: Path, tmp_path: Path) -> None:
    before = find_workers()
    with DbtBuilder(project, tmp_path / "work") as brief:
        brief.warm()
        # a process that has only just been started may not show its command line yet
        assert wait_until(lambda: len(find_workers()) > len(before))
        (mine,) = [worker for worker in find_workers() if worker not in before]
    assert not runs(mine)
    assert list((tmp_path / "work").iterdir()) == []
    with pytest.raises(ChecksErrored, match="closed"):
        brief.build(seed(tmp_path / "build"))


def test_worker_ends_with_a_killed_parent(project: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time, psutil; from pathlib import Path\n"
        "from dartifact.adapters.transform.dbt_build import DbtBuilder\n"
        "builder = DbtBuilder(Path(sys.argv[1]), Path(sys.argv[2])); builder.warm()\n"
        "print(psutil.Process().children()[0].pid, 'dbt' in sys.modules, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(project), str(tmp_path / "work")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pid, parent_has_dbt = parent.stdout.readline().split()
        worker = psutil.Process(int(pid))
        parent.kill()
    assert parent_has_dbt == "False"
    assert wait_until(lambda: not runs(worker))


def test_integration_checks_pass_on_a_good_build(good: tuple[Path, BuildResult]) -> None:
    results = run_sql_checks(good[0], CHECKS)
    assert [result.check for result in results] == [
        "sql.current_rows_are_staged",
        "sql.no_month_after_newest_order",
        "sql.no_month_before_2000",
        "sql.orders_add_up",
        "sql.revenue_adds_up",
    ]
    assert {result.outcome for result in results} == {Outcome.PASSED}
    assert all(path.read_text().startswith("-- ") for path in CHECKS.glob("*.sql"))


@pytest.mark.parametrize(
    ("damage", "caught"),
    [
        ("update marts.customer_statistics set orders = orders + 1 where segment = 'unknown'", {"orders_add_up": 1}),
        ("update marts.customer_statistics set revenue = revenue + 0.01", {"revenue_adds_up": 2}),
        ("update marts.customer_statistics set month = '2021-03-01' where orders = 2",
         {"orders_add_up": 2, "revenue_adds_up": 2, "no_month_after_newest_order": 1}),
        ("delete from staging.stg_customers where customer_id > 'C000001'", {"current_rows_are_staged": 2}),
    ],
)  # fmt: skip
def test_integration_checks_catch_what_they_are_for(
    good: tuple[Path, BuildResult], tmp_path: Path, damage: str, caught: dict[str, int]
) -> None:
    shutil.copy(good[0] / "build.duckdb", tmp_path)
    with duckdb.connect(str(tmp_path / "build.duckdb")) as connection:
        connection.execute(damage)
    failed = {result.check: result for result in run_sql_checks(tmp_path, CHECKS) if result.outcome is Outcome.FAILED}
    assert {check.removeprefix("sql."): result.failing_rows for check, result in failed.items()} == caught


@pytest.mark.parametrize(
    ("text", "outcome", "message"),
    [
        ("-- A meaning.\nselect 1 where false -- the end", Outcome.PASSED, "A meaning."),
        ("-- A meaning.\nselect 1 as a, 2 as a from range(3);", Outcome.FAILED, "A meaning.: 3 failing rows"),
        ("-- A meaning.\nfrom range(1)", Outcome.FAILED, "A meaning.: 1 failing row"),
        ("-- A meaning.\nselect nope", Outcome.ERRORED, 'A meaning.: Binder Error: Referenced column "nope"'),
        ("-- A meaning.\nselect 'x'::int from raw.orders", Outcome.ERRORED, "A meaning.: Conversion Error"),
        ("-- A meaning.\ndrop table staging.stg_orders", Outcome.ERRORED, "A meaning.: Invalid Input Error"),
        ("-- A meaning.\nselect 1; select 2", Outcome.ERRORED, "A meaning.: Invalid Input Error"),
        ("select 1 where false", Outcome.PASSED, "mine"),
    ],
)
def test_sql_check_counts_rows_and_errs_when_it_cannot_ask(
    good: tuple[Path, BuildResult], tmp_path: Path, text: str, outcome: Outcome, message: str
) -> None:
    (tmp_path / "mine.sql").write_text(text)
    (result,) = run_sql_checks(good[0], tmp_path)
    assert (result.check, result.outcome) == ("sql.mine", outcome)
    assert show_values(result.message).startswith(message)


def test_missing_folder_of_checks_is_not_taken_for_no_checks(good: tuple[Path, BuildResult], tmp_path: Path) -> None:
    with pytest.raises(ChecksErrored, match=r"folder of checks .* does not exist"):
        run_sql_checks(good[0], tmp_path / "nowhere")


def test_build_of_nothing_is_not_green() -> None:
    assert not BuildResult((), 0.1).green
