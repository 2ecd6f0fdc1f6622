"""Build the marts: dbt in a long-lived process of its own, the checks on what it built, the files it hands out.

A build folder holds `build.duckdb`, seeded with the views `raw.<dataset>`; dbt adds the schemas `staging` and `marts`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from dartifact.adapters.transform.dbt_process import Worker, WorkerGone
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.errors import ChecksErrored
from dartifact.domain.marks import mark
from dartifact.domain.sql_text import literal, quote

_DATABASE = "build.duckdb"
_GREEN = (Outcome.PASSED, Outcome.WARNED)

_MARTS = "select table_name from information_schema.tables where table_schema = 'marts' order by all"


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What dbt did with one node of the project.

    `kind` is dbt's resource type (model, test, seed, snapshot, unit_test, operation), or `project` for a fault of the
    project as a whole. `failures` is a test's number of failing rows; `dataset` and `column`: what the node is about.
    """

    name: str
    kind: str
    outcome: Outcome
    message: str
    failures: int
    compiled_sql: str | None
    seconds: float
    dataset: str = ""
    column: str | None = None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What one `dbt build` did, node by node in the order of their ends."""

    nodes: tuple[NodeResult, ...]
    seconds: float

    @property
    def green(self) -> bool:
        """Tell whether everything was built and tested: nothing skipped, and at least something."""
        return bool(self.nodes) and all(node.outcome in _GREEN for node in self.nodes)


def to_results(build: BuildResult) -> tuple[Result, ...]:
    """Turn each node into a check's result, named `dbt.<kind>.<name>` and in the order of these names.

    dbt ends its nodes in another order each time, and a report's digest is that of its results as they stand.
    """
    return tuple(sorted((_to_result(node) for node in build.nodes), key=lambda result: result.check))


def _to_result(node: NodeResult) -> Result:
    if node.outcome is Outcome.SKIPPED:
        said = " was skipped: something it needs did not pass"
    elif node.failures:
        said = f": {_count_rows(node.failures)} in {node.dataset}"
    else:
        said = f": {mark(node.message)}" if node.message else ""
    return Result(
        check=f"dbt.{node.kind}.{node.name}",
        dataset=node.dataset,
        outcome=node.outcome,
        message=f"dbt {node.kind} {node.name}{said}",
        column=node.column,
        failing_rows=node.failures,
    )


class DbtBuilder:
    """Builds one dbt project, one build at a time, in a process that is started once and replaced when it dies.

    The project folder is only read. `work_dir` keeps what dbt parsed, for this and other processes. `timeout` is in
    seconds, for one build and the start of its process.
    """

    def __init__(self, project_dir: Path, work_dir: Path, *, timeout: float = 1800.0) -> None:
        self._project_dir, self._work_dir, self._timeout = project_dir.resolve(), work_dir.resolve(), timeout
        self._building, self._changing = threading.Lock(), threading.Lock()
        self._worker: Worker | None = None
        self._closed = False
        self._requests = 0

    def __enter__(self) -> DbtBuilder:
        return self

    def of_project(self, project_dir: Path, work_dir: Path) -> DbtBuilder:
        """Return a builder of another project with the same patience; nothing is started before its first build."""
        return DbtBuilder(project_dir, work_dir, timeout=self._timeout)

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self) -> None:
        """Start the process, which imports dbt and parses the project meanwhile, and return at once."""
        self._living_worker(warm=True)

    def build(self, build_dir: Path) -> BuildResult:
        """Run `dbt build` on the build.duckdb of a folder and wait for it.

        A project that does not parse and a model that fails are results. ChecksErrored: dbt could not run, died or
        took too long; the folder is then half built, seed a new one.
        """
        build_dir = build_dir.resolve()
        _require_database(build_dir)
        with self._building:
            started = time.monotonic()
            answer = self._ask(build_dir, started + self._timeout)
        if "error" in answer:
            raise ChecksErrored(f"dbt could not run: {answer['error']}")
        nodes = tuple(self._read_node(node, build_dir) for node in answer["nodes"])
        return BuildResult(nodes, time.monotonic() - started)

    def close(self) -> None:
        """End the process; a build under way raises ChecksErrored. A closed builder stays closed."""
        with self._changing:
            self._closed = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(patience=2.0)

    def _ask(self, build_dir: Path, deadline: float) -> dict[str, Any]:
        worker = self._living_worker()
        try:
            return self._ask_worker(worker, build_dir, deadline)
        except WorkerGone as gone:
            if gone.begun:
                raise ChecksErrored(f"the dbt process ended during the build: {gone}") from gone
        try:
            # It died unseen before it took the build, and the folder is as it was.
            return self._ask_worker(self._living_worker(), build_dir, deadline)
        except WorkerGone as gone:
            how = "ended during the build" if gone.begun else "keeps exiting"
            raise ChecksErrored(f"the dbt process {how}: {gone}") from gone

    def _ask_worker(self, worker: Worker, build_dir: Path, deadline: float) -> dict[str, Any]:
        self._requests += 1
        worker.send({"do": "build", "id": self._requests, "build_dir": str(build_dir)})
        try:
            return worker.receive(self._requests, deadline)
        except TimeoutError:
            worker.stop()
            raise ChecksErrored(f"the dbt build took longer than {self._timeout:g} s and was stopped") from None
        except WorkerGone:
            raise
        except BaseException:
            worker.stop()  # nobody waits for its build any more
            raise

    def _read_node(self, node: dict[str, Any], build_dir: Path) -> NodeResult:
        # Messages are evidence: they must not differ by where this build happened to stand.
        message = node["message"].replace(f"{build_dir}/", "").replace(f"{self._project_dir}/", "")
        return NodeResult(**{**node, "outcome": Outcome(node["outcome"]), "message": message})

    def _living_worker(self, *, warm: bool = False) -> Worker:
        with self._changing:
            if self._closed:
                raise ChecksErrored("the dbt builder is closed")
            if self._worker is None or not self._worker.is_alive():
                self._work_dir.mkdir(parents=True, exist_ok=True)
                self._worker = Worker(self._project_dir, self._work_dir)
                if warm:
                    self._worker.send({"do": "warm"})
            return self._worker


def list_marts(build_dir: Path) -> tuple[str, ...]:
    """Name the tables of the schema `marts`."""
    with _open(build_dir) as connection:
        return tuple(name for (name,) in connection.execute(_MARTS).fetchall())


def export_marts(build_dir: Path, out_dir: Path) -> dict[str, Path]:
    """Copy each table of the schema `marts` to `<name>.parquet`; equal content gives equal bytes.

    Rows are ordered by all columns. Sums of doubles are for the models to avoid: they differ from build to build.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    files = {}
    with _open(build_dir) as connection:
        connection.execute("set threads = 1")  # nothing in the file is left to which thread comes first
        for (name,) in connection.execute(_MARTS).fetchall():
            files[name] = out_dir / f"{name}.parquet"
            rows = f"select * from marts.{quote(name)} order by all"
            connection.execute(f"copy ({rows}) to {literal(str(files[name]))} (format parquet, compression zstd)")
    return files


def run_sql_checks(build_dir: Path, folder: Path) -> tuple[Result, ...]:
    """Run each `<name>.sql` of a folder as check `sql.<name>`: a query for failing rows, line one says its meaning."""
    if not folder.is_dir():
        raise ChecksErrored(f"the folder of checks {folder} does not exist")
    with _open(build_dir) as connection:
        return tuple(_run_sql_check(connection, path) for path in sorted(folder.glob("*.sql")))


def _run_sql_check(connection: duckdb.DuckDBPyConnection, path: Path) -> Result:
    text = path.read_text(encoding="utf-8")
    meaning = text.partition("\n")[0].lstrip("- ").strip() if text.startswith("--") else path.stem
    try:
        failing = _count_failing(connection, text)
        outcome = Outcome.FAILED if failing else Outcome.PASSED
        said = f": {_count_rows(failing)}" if failing else ""
    except duckdb.Error as error:
        failing, outcome, said = 0, Outcome.ERRORED, f": {mark(' '.join(str(error).split()))}"
    return Result(f"sql.{path.stem}", "marts", outcome, f"{meaning}{said}", failing_rows=failing)


def _count_failing(connection: duckdb.DuckDBPyConnection, text: str) -> int:
    statements = duckdb.extract_statements(text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise duckdb.InvalidInputException("Invalid Input Error: a check is exactly one query")
    query = statements[0].query.strip().removesuffix(";")
    # The hash makes DuckDB compute the columns; a bare count would pass over one that cannot be computed.
    counting = f"select count(*), max(hash(failing_row)) from (\n{query}\n) as failing_row"
    counted = connection.execute(counting).fetchone()
    assert counted is not None
    return int(counted[0])


@contextmanager
def _open(build_dir: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a build for reading; DuckDB's errors that nobody took for an answer become ChecksErrored."""
    _require_database(build_dir)
    try:
        with duckdb.connect(str(build_dir / _DATABASE), read_only=True) as connection:
            connection.execute("set autoinstall_known_extensions = false")
            connection.execute("set TimeZone = 'UTC'")
            yield connection
    except duckdb.Error as error:
        raise ChecksErrored(f"cannot read {build_dir / _DATABASE}: {' '.join(str(error).split())}") from error


def _require_database(build_dir: Path) -> None:
    if not (build_dir / _DATABASE).is_file():
        raise ChecksErrored(f"there is no {_DATABASE} in {build_dir}")


def _count_rows(number: int) -> str:
    return f"{number} failing row{'' if number == 1 else 's'}"
