"""Builds the models of a dbt project without dbt: milliseconds instead of seconds, for tests that are not about dbt.

What it knows of dbt is what this repository's project uses: models as tables in the schema of their folder, `ref` and
`source`, macros, enforced contracts, and the tests in the models' YAML. `tests/adapters/test_model_builder.py` asks it
and dbt the same, and compares all that they answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import pytest
import yaml

from dartifact.adapters.transform.dbt_build import BuildResult, NodeResult
from dartifact.domain.checks import Outcome
from dartifact.domain.errors import ChecksErrored

_GENERIC = {
    "not_null": "select * from {model} where {column} is null",
    "unique": "select {column} from {model} where {column} is not null group by 1 having count(*) > 1",
    "accepted_values": "select {column} from {model} where {column} not in ({values}) group by 1",
    "at_least": "select * from {model} where {column} < {minimum}",
    "unique_combination": "select {columns} from {model} group by {columns} having count(*) > 1",
}


@dataclass
class _Model:
    """A model with what its SQL reads and what its YAML says."""

    name: str
    schema: str
    sql: str
    parents: set[str]
    described: Mapping[str, Any] = field(default_factory=dict)

    @property
    def relation(self) -> str:
        return f"{self.schema}.{self.name}"

    def tests(self) -> Iterator[tuple[str, str | None, str]]:
        """Yield name, column and SQL of each test."""
        for about in (self.described, *self.described.get("columns", ())):
            column = about.get("name") if about is not self.described else None
            for test in about.get("data_tests", ()):
                kind, said = (test, {}) if isinstance(test, str) else next(iter(test.items()))
                given = said.get("arguments", {})
                values = {
                    "model": self.relation,
                    "column": column,
                    "values": ", ".join(f"'{each}'" for each in given.get("values", ())),
                    "columns": ", ".join(given.get("columns", ())),
                    "minimum": given.get("minimum"),
                }
                plain = "_".join(part for part in (kind, self.name, column) if part)
                yield said.get("name", plain), column, _GENERIC[kind].format(**values)


# Marks a test, or a module, whose stack is to build with the real dbt.
with_real_dbt = pytest.mark.parametrize("builder", ["dbt"], indirect=True)


@dataclass
class ModelBuilder:
    """Builds a dbt project as `DbtBuilder` does, which it is given in the place of; it starts and keeps nothing."""

    project_dir: Path

    def __enter__(self) -> ModelBuilder:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def of_project(self, project_dir: Path, work_dir: Path) -> ModelBuilder:
        """Return a builder of another project."""
        return ModelBuilder(project_dir)

    def build(self, build_dir: Path) -> BuildResult:
        """Build and test the models in a build folder; see `DbtBuilder.build`."""
        database = build_dir / "build.duckdb"
        if not database.is_file():
            raise ChecksErrored(f"there is no {database.name} in {build_dir}")
        started = time.monotonic()
        nodes: list[NodeResult] = []
        stopped: set[str] = set()
        with duckdb.connect(str(database)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for model in _in_order(self._read_models()):
                is_stopped = bool(model.parents & stopped)
                nodes.append(_build_model(connection, model, is_skipped=is_stopped))
                is_stopped |= nodes[-1].outcome is not Outcome.PASSED
                found = [_run_test(connection, model, *test, is_skipped=is_stopped) for test in model.tests()]
                if is_stopped or any(each.outcome is not Outcome.PASSED for each in found):
                    stopped.add(model.name)
                nodes += found
        return BuildResult(tuple(nodes), time.monotonic() - started)

    def _read_models(self) -> dict[str, _Model]:
        folder = self.project_dir / "models"
        described = {
            each["name"]: each
            for path in sorted(folder.rglob("*.yml"))
            for each in _describe(path.read_text(encoding="utf-8"))
        }
        schemas = {path.stem: path.parent.name for path in folder.rglob("*.sql")}
        macros = "\n".join(path.read_text(encoding="utf-8") for path in sorted((self.project_dir / "macros").glob("*")))
        models = {}
        for path in sorted(folder.rglob("*.sql")):
            parents: set[str] = set()

            def ref(name: str, parents: set[str] = parents) -> str:
                parents.add(name)
                return f"{schemas[name]}.{name}"

            names: dict[str, Any] = {"ref": ref, "source": lambda schema, table: f"{schema}.{table}"}
            sql = _template(macros + path.read_text(encoding="utf-8")).render(names)
            about = described.get(path.stem, {})
            models[path.stem] = _Model(path.stem, path.parent.name, sql, parents, about)
        return models


@lru_cache(maxsize=64)
def _template(text: str) -> jinja2.Template:
    return jinja2.Template(text)


@lru_cache(maxsize=64)
def _describe(text: str) -> tuple[dict[str, Any], ...]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(yaml.load(text, Loader=loader).get("models", ()))


def _in_order(models: Mapping[str, _Model]) -> Iterator[_Model]:
    done: set[str] = set()
    while len(done) < len(models):
        ready = [each for each in models.values() if each.name not in done and each.parents <= done]
        assert ready, "the models refer to each other in a circle"
        yield from ready
        done |= {each.name for each in ready}


def _build_model(connection: duckdb.DuckDBPyConnection, model: _Model, *, is_skipped: bool) -> NodeResult:
    outcome, message = (Outcome.SKIPPED, "") if is_skipped else (Outcome.PASSED, "OK")
    if not is_skipped:
        try:
            fault = _find_broken_contract(connection, model)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {model.schema}")
            if not fault:
                connection.execute(f"CREATE TABLE {model.relation} AS {model.sql}")
        except duckdb.Error as error:
            fault = " ".join(str(error).split())
        if fault:
            outcome, message = Outcome.FAILED, fault
    return NodeResult(model.name, "model", outcome, message, 0, model.sql, 0.0, model.name)


def _find_broken_contract(connection: duckdb.DuckDBPyConnection, model: _Model) -> str:
    if not model.described.get("config", {}).get("contract", {}).get("enforced"):
        return ""
    found = {row[0]: str(row[1]).lower() for row in connection.execute(f"DESCRIBE {model.sql}").fetchall()}
    declared = {each["name"]: each["data_type"] for each in model.described["columns"]}
    names = [name for name in {**declared, **found} if declared.get(name) != found.get(name)]
    return "; ".join(f"{name} | {found.get(name)} | {declared.get(name)}" for name in names)


def _run_test(
    connection: duckdb.DuckDBPyConnection, model: _Model, name: str, column: str | None, sql: str, *, is_skipped: bool
) -> NodeResult:
    outcome, message, failing = Outcome.SKIPPED, "", 0
    if not is_skipped:
        try:
            failing = len(connection.execute(sql).fetchall())
        except duckdb.Error as error:
            outcome, message = Outcome.ERRORED, " ".join(str(error).split())
        else:
            outcome = Outcome.FAILED if failing else Outcome.PASSED
    return NodeResult(name, "test", outcome, message, failing, sql, 0.0, model.name, column)
