"""Stage with the checkout's project and the real dbt, killed while dbt works and at writes before and after."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from dartifact.adapters.lakefs.lake import STAGING
from dartifact.commands.production.publication import PUBLISHED_FENCE
from dartifact.commands.repair.reconcile import reconcile
from dartifact.commands.stack import Stack
from dartifact.commands.staging.stage import stage
from dartifact.domain.dartifacts import DartifactState
from tests.faults import protocols
from tests.faults.children import Fault, Kind, Order, Place, Task, run_child
from tests.support.models import with_real_dbt
from tests.support.sources import customer, order
from tests.support.world import ACTOR, World


def stage_until_dbt_works(stack: Stack, publishers: protocols.Publishers) -> None:
    """Stage, and die a second after dbt was asked for the build: its process takes longer than that to start."""
    build = stack.dbt.build

    def build_and_die(folder: Path) -> Any:
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return build(folder)

    stack.dbt.build = build_and_die  # type: ignore[method-assign]
    protocols.stage(stack, publishers)


@with_real_dbt
@pytest.mark.parametrize(
    ("command", "fault"),
    [
        pytest.param(stage_until_dbt_works, None, id="while dbt works"),
        pytest.param(protocols.stage, Fault(Kind.KILL, "before lake: POST branches/build-*/commits"), id="packing"),
        pytest.param(protocols.stage, Fault(Kind.KILL, "inside ledger: DartifactGreen"), id="noting the dartifact"),
    ],
)
def test_a_stage_of_the_real_project_that_is_killed_is_made_once_by_the_next_one(
    world: World, tmp_path: Path, command: Order, fault: Fault | None
) -> None:
    world.bring("customers", customer(1))
    world.land("orders", order(1), order(2))
    (tmp_path / "dbt").mkdir()
    stack = world.stack
    home = tmp_path  # where the ledger of the stack lies
    place = Place(
        stack.lake.access,
        stack.lake.repository,
        home,
        stack.sources,
        stack.policy,
        stack.project,
        dbt_work=tmp_path / "dbt",
    )
    ending = run_child(Task(place, stack.lake.access.url, world.clock, {}, command, fault))
    assert ending.exitcode == -signal.SIGKILL, ending.error
    assert bool(ending.hit) == bool(fault)
    assert stack.ledger.dartifacts()[0].state is DartifactState.BUILDING

    reconcile(stack)
    made = stage(stack, actor=ACTOR)
    assert made.state is DartifactState.GREEN
    assert stack.ledger.dartifacts() == (made,)
    assert not stack.ledger.open_intents()
    assert world.lake.read_json(f"{STAGING}@", PUBLISHED_FENCE)["wanted"] == made.commit
    assert world.content(f"{STAGING}@") == world.content(made.commit or "")
    assert world.lake.list_branches("keep-") == (f"keep-{made.dartifact_id}",)
