"""Fixtures on a real lakeFS server, SQLite, DuckDB, Soda and dbt.

One server per test process, started when the first test asks for it; a fresh repository and ledger per test.

- `lakefs`: the server's LakeAccess. `lake`: a prepared, empty repository on it. `make_lake()`: another one.
- `ledger`: at `ledger_url`, on `clock`: SQLite in `tmp_path`; tests that are marked `both_databases` run again on
  PostgreSQL, in a schema of their own. `postgres`: the URL of that server, one per test process; where it cannot be had
  they are skipped. `DARTIFACT_TEST_POSTGRES_URL` names another server.
- `clock`: stands still until moved (`tests.support.world.Clock`).
- `sources`: the declarations that the stack knows; override it in a module for others (they need contracts in checks/).
- `dbt`: one DbtBuilder for the session on the checkout's project; its process starts with the first build.
- `builder`: what stands in for it where a test is not about dbt (`tests.support.models`).
- `stack`: all of these as a Stack; project = the checkout, home in `tmp_path`.
- `world`: the stack with sources that remember, and helpers to bring, integrate and look (`tests.support.world.World`).
- `named_world`: the same, with the settings in the environment naming it, for what reads them.
- `call`: one command of the command line in this process.
- `proxy`: an HTTP proxy in front of the server that breaks what it is told to (`tests.support.proxy`).

Tests that start servers, builds or commands are marked `slow` here, by what they use and where they stand, and begin
first. Two soaks are run by `pytest -m soak` only. `DARTIFACT_TEST_EXAMPLES=200` draws that many examples of every
property, instead of the same ten every day.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import settings

from dartifact.adapters.lakefs.lake import Lake, LakeAccess
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.transform.dbt_build import DbtBuilder
from dartifact.cli import app as cli
from dartifact.commands.bond import hold_bond
from dartifact.commands.stack import Stack
from dartifact.domain.sources import Source
from dartifact.local.lakefs_server import running_lakefs
from tests.support.models import ModelBuilder
from tests.support.postgres import empty_schema, running_postgres
from tests.support.proxy import Proxy, running_proxy
from tests.support.sources import CUSTOMERS, ORDERS, RememberingSource
from tests.support.world import Clock, World

PROJECT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
# What starts a server or a build, and where nearly everything starts a command or keeps a process busy.
_SLOW_FIXTURES = frozenset({"lakefs", "dbt"})
_SLOW_FOLDERS = frozenset({"e2e", "faults", "local", "ui"})
_SLOW_FILES = frozenset({"test_dbt_build", "test_tutorial"})
# The files that keep a process busy for more than half a minute, the longest first: begun last, they would end alone.
_LONGEST = ("test_up", "test_cli", "test_browser", "test_history", "test_state_machine", "test_real_dbt",
            "test_dbt_build", "test_culprits", "test_traffic", "test_staging_production")  # fmt: skip
_DAILY_EXAMPLES = 10

# Nothing phones home, and nothing a developer has set reaches a test.
_QUIET = {
    "SODA_CORE_TELEMETRY_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
Call = Callable[..., tuple[int, str, str]]
_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before anything is imported by a test module."""
    config.addinivalue_line("markers", "both_databases: runs on SQLite and on PostgreSQL")
    config.addinivalue_line("markers", "slow: starts servers, builds or commands; marked by tests/conftest.py")
    config.addinivalue_line("markers", "soak: a minute of random work or of weeks; only with -m soak")
    asked = int(os.environ.get("DARTIFACT_TEST_EXAMPLES", "0"))
    # The same examples every day: what fails was broken by the change at hand, whoever made it.
    settings.register_profile("tests", max_examples=asked or _DAILY_EXAMPLES, deadline=None, derandomize=not asked)
    settings.load_profile("tests")
    os.environ.update(_QUIET)
    for name in [each for each in os.environ if each.startswith(("DARTIFACT_", "LAKEFS_"))]:
        if not name.startswith("DARTIFACT_TEST_"):  # these are for the tests themselves
            del os.environ[name]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked so on both databases."""
    if "ledger_url" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_databases"):
        metafunc.parametrize("ledger_url", ["sqlite", "postgresql"], indirect=True)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, let one process run all that shares a fixture of its module, and begin with the longest."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        is_slow = folder in _SLOW_FOLDERS or item.path.stem in _SLOW_FILES
        if is_slow or _SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        definitions = getattr(item, "_fixtureinfo", None)
        found = (each[-1] for each in (definitions.name2fixturedefs if definitions else {}).values())
        if item.get_closest_marker("xdist_group") is None and any(each.scope == "module" for each in found):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    ranks = {name: rank for rank, name in enumerate(_LONGEST)}
    last = len(ranks)
    items.sort(key=lambda item: (ranks.get(item.path.stem, last), item.get_closest_marker("slow") is None))


@pytest.fixture(scope="session")
def lakefs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeAccess]:
    """Run one lakeFS server for this test process."""
    with running_lakefs(tmp_path_factory.mktemp("lakefs"), print) as endpoint:
        yield LakeAccess(endpoint.url, endpoint.access_key_id, endpoint.secret_access_key)


@pytest.fixture
def make_lake(lakefs: LakeAccess) -> Callable[[], Lake]:
    """Return what makes a prepared, empty repository with a name of its own."""

    def make() -> Lake:
        lake = Lake(lakefs, f"test-{os.getpid()}-{next(_numbers)}")
        assert lake.prepare()
        return lake

    return make


@pytest.fixture
def lake(make_lake: Callable[[], Lake]) -> Lake:
    """Return a fresh repository."""
    return make_lake()


@pytest.fixture
def clock() -> Clock:
    """Return a clock at 2021-01-01T00:00Z that stands still."""
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run one PostgreSQL server for this test process; skips where that cannot be done."""
    if named := os.environ.get("DARTIFACT_TEST_POSTGRES_URL"):
        yield named
        return
    with running_postgres() as url:
        yield url


@pytest.fixture
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Name an empty database: a file, or a schema of its own on the server."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    with empty_schema(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def another_ledger_url(request: pytest.FixtureRequest, ledger_url: str, tmp_path: Path) -> Iterator[str]:
    """Name one more empty database of the same kind."""
    if ledger_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'another.db'}"
        return
    with empty_schema(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    """Return an empty ledger."""
    ledger = Ledger(ledger_url, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture(scope="session")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DbtBuilder]:
    """Return the builder of the checkout's dbt project; nothing is started before the first build."""
    work = tmp_path_factory.mktemp("dbt")
    with DbtBuilder(PROJECT / "dbt", work, timeout=240) as builder:
        yield builder


@pytest.fixture
def builder(request: pytest.FixtureRequest) -> DbtBuilder:
    """Return what builds the checkout's project in milliseconds, or `dbt` (`tests.support.models.with_real_dbt`)."""
    if getattr(request, "param", None) == "dbt":
        return cast(DbtBuilder, request.getfixturevalue("dbt"))
    return cast(DbtBuilder, ModelBuilder(PROJECT / "dbt"))


@pytest.fixture
def sources() -> dict[str, Source]:
    """Return the declared sources: customers by dana, orders by dan."""
    return {source.name: source for source in (CUSTOMERS, ORDERS)}


@pytest.fixture
def stack(
    lake: Lake, ledger: Ledger, builder: DbtBuilder, sources: dict[str, Source], clock: Clock, tmp_path: Path
) -> Stack:
    """Return a complete stack on a fresh repository and ledger."""
    home = tmp_path / "home"
    home.mkdir()
    return Stack(lake=lake, ledger=ledger, dbt=builder, sources=dict(sources), project=PROJECT, home=home, clock=clock)


@pytest.fixture
def world(stack: Stack, clock: Clock) -> World:
    """Return the stack with in-memory sources and the helpers that play with them."""
    return World(stack, clock, {name: RememberingSource(name) for name in stack.sources})


@pytest.fixture
def named_world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return the world with the settings naming it: command line, client and pages find it as a user's processes do."""
    access = world.lake.access
    hold_bond(world.stack)
    for name, value in {
        "HOME": str(world.stack.home),
        "LAKE_URL": access.url,
        "LAKE_ACCESS_KEY_ID": access.access_key_id,
        "LAKE_SECRET_ACCESS_KEY": access.secret_access_key,
        "REPOSITORY": world.lake.repository,
        "LEDGER_URL": world.stack.ledger.url,
        "ACTOR": "ann",
    }.items():
        monkeypatch.setenv(f"DARTIFACT_{name}", value)
    return world


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return what runs one command in this process: (exit code, stdout, stderr)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dartifact", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def proxy(lakefs: LakeAccess) -> Iterator[Proxy]:
    """Run a proxy in front of the server; it forwards everything until it is told otherwise."""
    with running_proxy(lakefs.url) as proxy:
        yield proxy
