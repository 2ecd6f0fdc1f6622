"""Builds: pinned raw data as a database, what dbt makes of it, the checks on that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dartifact.adapters.contracts.contracts import Contract
from dartifact.adapters.contracts.soda import check_contract
from dartifact.adapters.lakefs.values import LakeObject
from dartifact.adapters.tables import duck
from dartifact.adapters.transform.dbt_build import list_marts, run_sql_checks, to_results
from dartifact.commands.gates.waivers import waive_results
from dartifact.commands.stack import Runner, Stack, run_plainly
from dartifact.compare.current import select_current
from dartifact.domain.checks import Outcome, Result
from dartifact.domain.sources import Source
from dartifact.domain.sql_text import quote

if TYPE_CHECKING:
    import duckdb

_SYSTEM_COLUMNS = (
    ("_run_id", "varchar"),
    ("_seq", "bigint"),
    ("_extracted_at", "timestamp with time zone"),
    ("_deleted", "boolean"),
)
Content = Mapping[str, Sequence[LakeObject]]
"""Raw data to build: objects by the commit they are read at."""


def build(
    stack: Stack, code: Stack, content: Content, folder: Path, *, runner: Runner = run_plainly
) -> tuple[Result, ...]:
    """Build the content in a folder with the project and the dbt of `code`, and check it; return what was found.

    The sources are declared by `stack`. Raises ChecksErrored when dbt could not run.
    """
    runner("seed the build", lambda: _seed(stack, content, folder))
    built = runner("dbt build", lambda: code.dbt.build(folder))
    results = to_results(built)
    if built.green and not list_marts(folder):
        message = "the project builds no mart: no model is in the schema marts"
        results += (Result("staging.marts", "marts", Outcome.FAILED, message),)
    elif built.green:
        results += runner("integration tests", lambda: _test_marts(code, folder))
    return waive_results(stack, results)


def _seed(stack: Stack, content: Content, folder: Path) -> None:
    """Write `build.duckdb`: `raw.<dataset>` is the current table of the content."""
    with duck.connect(folder / "build.duckdb") as connection:
        connection.execute("CREATE SCHEMA raw; CREATE SCHEMA records")
        for source in stack.sources.values():
            name = quote(source.name)
            urls: list[str] = []
            for commit, objects in content.items():
                mine = [each for each in objects if each.path.startswith(f"raw/{source.name}/")]
                urls += stack.lake.locate(commit, mine) if mine else ()
            if not urls:
                _seed_empty(connection, source, stack.contract(source.name))
                continue
            duck.create_view(connection, f"records.{name}", urls, stack.lake.access)
            query = select_current(f"records.{name}", source.key, source.updated_at)
            # dbt's own connection has no key to the gateway, so what comes from there is copied now.
            kind = "TABLE" if any(url.startswith("s3://") for url in urls) else "VIEW"
            connection.execute(f"CREATE {kind} raw.{name} AS {query}")


def seed_nothing(sources: Iterable[Source], contracts: Mapping[str, Contract], folder: Path) -> None:
    """Write a `build.duckdb` in which each source has its columns and no row."""
    with duck.connect(folder / "build.duckdb") as connection:
        connection.execute("CREATE SCHEMA raw")
        for source in sources:
            _seed_empty(connection, source, contracts[source.name])


def _seed_empty(connection: duckdb.DuckDBPyConnection, source: Source, contract: Contract) -> None:
    columns = ", ".join(f"NULL::{kind} AS {quote(column)}" for column, kind in (*contract.columns, *_SYSTEM_COLUMNS))
    connection.execute(f"CREATE VIEW raw.{quote(source.name)} AS SELECT {columns} WHERE false")


def _test_marts(code: Stack, folder: Path) -> tuple[Result, ...]:
    results = run_sql_checks(folder, code.project / "checks" / "integration")
    with duck.connect(folder / "build.duckdb") as connection:
        for contract in code.mart_contracts():
            results += check_contract(connection, contract, f"marts.{contract.dataset}")
    return results
