"""Fixtures and the table of the fault matrix."""

from __future__ import annotations

import itertools
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dartifact.adapters.lakefs.lake import LakeAccess
from dartifact.commands.stack import Policy
from tests.faults.children import Place
from tests.faults.scene import Scene
from tests.support.machine import Repositories, write_project
from tests.support.postgres import empty_schema
from tests.support.proxy import Proxy, running_proxy
from tests.support.sources import CUSTOMERS, ORDERS

PROPERTY = "fault matrix"
_ASKED = "DARTIFACT_TEST_FAULTS"
ON_POSTGRESQL = os.environ.get(_ASKED) == "postgresql"
collect_ignore_glob = [] if _ASKED in os.environ else ["test_*.py"]
_CASES = 40  # after so many a scene has grown slow


@pytest.fixture(scope="session")
def lake_proxy(lakefs: LakeAccess) -> Iterator[Proxy]:
    """Run one proxy in front of the server."""
    with running_proxy(lakefs.url) as proxy:
        yield proxy


class Scenes:
    """Gives out the scene that is set, and sets a new one when that has broken or has grown slow."""

    def __init__(self, access: LakeAccess, proxy: Proxy, folder: Path, postgres: str = "") -> None:
        self._access, self._proxy, self._folder, self._postgres = access, proxy, folder, postgres
        self._owned = ExitStack()
        self._repositories = Repositories(access, f"faults-{os.getpid()}", ahead=2)
        self._numbers = itertools.count()
        self._scene: Scene | None = None

    def take(self) -> Scene:
        """Return a scene at rest."""
        if self._scene is None or self._scene.cases >= _CASES:
            self.give_up()
            home = self._folder / str(next(self._numbers))
            home.mkdir()
            write_project(home / "project")
            sources = {each.name: each for each in (CUSTOMERS, ORDERS)}
            policy = Policy(weights=(50, 100))
            ledger = self._owned.enter_context(empty_schema(self._postgres)) if self._postgres else ""
            project = home / "project"
            place = Place(self._access, self._repositories.take(), home, sources, policy, project, ledger=ledger)
            self._scene = Scene(place, self._proxy)
            self._scene.open_stage()
        self._scene.cases += 1
        return self._scene

    def give_up(self) -> None:
        """Let the next one be new."""
        if self._scene is not None:
            self._scene.close()
        self._scene = None
        self._owned.close()


@pytest.fixture(scope="session")
def scenes(
    request: pytest.FixtureRequest, lakefs: LakeAccess, lake_proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenes]:
    """Return the scenes of this test process, with ledgers on PostgreSQL where that is asked for."""
    postgres = request.getfixturevalue("postgres") if ON_POSTGRESQL else ""
    scenes = Scenes(lakefs, lake_proxy, tmp_path_factory.mktemp("scenes"), postgres)
    yield scenes
    scenes.give_up()


@pytest.fixture
def note_cell(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Return what notes one cell of the table: (protocol, fault, points, failures, polls, leftovers)."""

    def note(*cell: Any) -> None:
        record_property(PROPERTY, json.dumps(cell))

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print protocol × fault × result, of all test processes together."""
    if _ASKED not in os.environ:
        terminalreporter.write_line(
            f"the fault matrix is left out: {_ASKED}=1 plays it, in 10 minutes; =postgresql on that"
        )
    cells: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    polls = leftovers = 0
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == PROPERTY and report.when == "call":
                    protocol, fault, points, failures, polled, left = json.loads(value)
                    cells[protocol, fault][0] += points
                    cells[protocol, fault][1] += failures
                    polls, leftovers = polls + polled, leftovers + left
    if not cells:
        return
    faults = list(dict.fromkeys(fault for _, fault in cells))
    write = terminalreporter.write_line
    terminalreporter.section("fault matrix: points at which the fault struck, all recovered unless said")
    write(f"{'protocol':<22}" + "".join(f"{each:>31}" for each in faults))
    for protocol in dict.fromkeys(protocol for protocol, _ in cells):
        row = (_show(*cells[protocol, fault]) if (protocol, fault) in cells else "-" for fault in faults)
        write(f"{protocol:<22}" + "".join(f"{each:>31}" for each in row))
    total, failed = (sum(each[index] for each in cells.values()) for index in (0, 1))
    write(f"{total} points, {failed} failed; readers looked {polls:,} times meanwhile; "
          f"{leftovers} hidden branches were left to be swept")  # fmt: skip


def _show(points: int, failures: int) -> str:
    return f"{points} ok" if not failures else f"{points - failures} ok, {failures} FAILED"
