"""The protocols of design, section 6: how the scene is set for each, its one command, and what it has to come to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.production.promote import promote
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.queue import integrate as queue
from dartifact.commands.repair.adopt import adopt, plan_adoption
from dartifact.commands.repair.reconcile import reconcile
from dartifact.commands.repair.restoration import plan_restoration, restore
from dartifact.commands.stack import Stack
from dartifact.commands.staging import stage as staging
from dartifact.domain.dartifacts import Cause, DartifactState
from dartifact.domain.decisions import Decision
from dartifact.domain.errors import MainHeld
from dartifact.domain.queue import HEAD_FENCE
from tests.faults.children import Fault, Kind, Order
from tests.faults.scene import Scene
from tests.support.books import Publisher
from tests.support.world import edit_by_hand

Publishers = Mapping[str, Publisher]
Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One row of the matrix: `set_up` makes the scene ready and returns the command, and what holds once it is done."""

    name: str
    set_up: Callable[[Scene], tuple[Order, Check]]


# The commands, as processes are told them


def bring_orders(stack: Stack, publishers: Publishers) -> None:
    """Ingest orders."""
    ingest(stack, stack.source("orders"), publishers["orders"], "dan", actor="ingestor:dan")


def integrate(stack: Stack, _: Publishers) -> None:
    """Bring what waits into `main` and out of it."""
    queue.integrate(stack, actor="policy:integrate")


def stage(stack: Stack, _: Publishers) -> None:
    """Make a dartifact of `main`."""
    staging.stage(stack, actor="policy:stage")


def promote_newest(stack: Stack, _: Publishers) -> None:
    """Bring the newest dartifact live."""
    promote(stack, actor="policy:promote")


def return_to(dartifact: str, blame: str, stack: Stack, _: Publishers) -> None:
    """Roll back to a dartifact, as a person does who looks first whether it is live already."""
    if stack.ledger.pointer().live != dartifact:
        roll_back(stack, dartifact, Cause.parse([blame]), reason="told to", actor="person:tester")


def restore_main(stack: Stack, _: Publishers) -> None:
    """Bring `main` back to what was tested, as a person does who looks first whether it is."""
    restoration = plan_restoration(stack)
    if restoration is not None:
        restore(stack, restoration, Decision("person:tester", "told to"))


def adopt_lake(stack: Stack, _: Publishers) -> None:
    """Take the lake in, as a person does who looks first whether there is anything to take in."""
    adoption = plan_adoption(stack)
    if adoption:
        adopt(stack, adoption, Decision("person:tester", "told to"))


def reconcile_only(stack: Stack, _: Publishers) -> None:
    """Do what each start does."""
    reconcile(stack)


# How the scene is set for them


def _ingest(scene: Scene) -> tuple[Order, Check]:
    scene.publish("orders")
    return bring_orders, partial(_integrate_here, scene)


def _integrate_here(scene: Scene) -> None:
    integrate(scene.stack, scene.publishers)


def _land(scene: Scene) -> tuple[Order, Check]:
    scene.bring("customers")
    scene.bring("orders")
    return integrate, _nothing_more


def _nothing_more() -> None:
    pass


def _revert(scene: Scene) -> tuple[Order, Check]:
    run = scene.land("orders")
    with scene.stack.ledger.write() as tx:
        tx.runs.request_revert(run.run_id, "told to", "person:tester")
    scene.out.add(run.run_id)
    return integrate, _nothing_more


def _repair(scene: Scene) -> tuple[Order, Check]:
    lake = scene.stack.lake
    before = scene.files.checksums(lake.head(MAIN).commit_id, HEAD_FENCE)
    edit_by_hand(lake, MAIN, lambda branch: lake.upload(branch, "README.md", b"nobody brought this"))

    def is_repaired() -> None:
        assert scene.files.checksums(lake.head(MAIN).commit_id, HEAD_FENCE) == before

    return integrate, is_repaired


def _restore(scene: Scene) -> tuple[Order, Check]:
    lake = scene.stack.lake
    before = scene.files.checksums(lake.head(MAIN).commit_id, HEAD_FENCE)
    edit_by_hand(lake, MAIN, lambda branch: lake.upload(branch, "raw/orders/nobody/part-0.parquet", b"by hand"))
    with contextlib.suppress(MainHeld):
        integrate(scene.stack, scene.publishers)

    def is_restored() -> None:
        assert scene.files.checksums(lake.head(MAIN).commit_id, HEAD_FENCE) == before

    return restore_main, is_restored


def _adopt(scene: Scene) -> tuple[Order, Check]:
    lake, ledger = scene.stack.lake, scene.stack.ledger
    before = lake.head(MAIN).commit_id, ledger.pointer().live
    lake.write_ledger_id("the ledger of somebody else")

    def is_adopted() -> None:
        assert lake.read_ledger_id() == ledger.ledger_id
        assert (lake.head(MAIN).commit_id, ledger.pointer().live) == before

    return adopt_lake, is_adopted


def _stage(scene: Scene) -> tuple[Order, Check]:
    scene.change_code()
    known = len(scene.stack.ledger.dartifacts())

    def is_staged() -> None:
        made = scene.stack.ledger.dartifacts()
        assert len(made) == known + 1
        assert made[0].state is DartifactState.GREEN
        head = scene.stack.lake.head("env-staging").commit_id
        assert scene.reader.look(head) == (made[0].dartifact_id, made[0].commit)

    return stage, is_staged


def _promote(scene: Scene) -> tuple[Order, Check]:
    scene.change_code()
    made = staging.stage(scene.stack, actor="policy:stage").dartifact_id

    def is_live() -> None:
        assert scene.stack.ledger.pointer().live == made
        assert scene.stack.ledger.dartifact(made).state is DartifactState.LIVE

    return promote_newest, is_live


def _roll_back_warm(scene: Scene) -> tuple[Order, Check]:
    scene.deliver_code()
    before = scene.stack.ledger.pointer().live or ""
    scene.land("orders")
    left = scene.deliver_code()
    runs = {name: set(scene.stack.ledger.dartifact(name).runs) for name in (before, left)}
    out = runs[left] - runs[before]
    assert out

    def is_back() -> None:
        _integrate_here(scene)  # what is blamed leaves `main` too
        promote_newest(scene.stack, scene.publishers)  # nothing waits; what was left of a plan is dropped
        scene.out |= out
        assert scene.stack.ledger.pointer().live == before
        assert scene.stack.ledger.dartifact(left).state is DartifactState.BAD
        assert {each.value for each in scene.stack.ledger.blames()} >= out

    return partial(return_to, before, "runs"), is_back


def _roll_back_cold(scene: Scene) -> tuple[Order, Check]:
    ledger = scene.stack.ledger
    scene.deliver_code()
    while not (older := _find_cold(scene)):
        scene.deliver_code()
    left = ledger.pointer().live or ""

    def is_back() -> None:
        promote_newest(scene.stack, scene.publishers)  # nothing waits; what was left of a plan is dropped
        assert ledger.pointer().live == older
        assert ledger.dartifact(left).state is DartifactState.BAD

    return partial(return_to, older, "code"), is_back


def _find_cold(scene: Scene) -> str | None:
    # The newest that served, is in no slot, and holds nothing that is blamed.
    ledger = scene.stack.ledger
    warm = {slot.dartifact for slot in ledger.pointer().slots.values()}
    served = {event.dartifact_id for event in ledger.events(type="DartifactLive", most=1000)}
    for each in ledger.dartifacts(states=(DartifactState.SUPERSEDED,)):
        if each.dartifact_id in served - warm and not {blame.value for blame in ledger.blames()} & set(each.runs):
            return each.dartifact_id
    return None


def _reconcile_production(scene: Scene) -> tuple[Order, Check]:
    _, is_live = _promote(scene)
    ending = scene.run(promote_newest, Fault(Kind.KILL, "before lake: POST refs/*/merge/production"))
    assert ending.hit, f"nothing was merged into production: {ending}"

    def is_finished() -> None:
        promote_newest(scene.stack, scene.publishers)  # it has its last step to count
        is_live()

    return reconcile_only, is_finished


def _reconcile_main(scene: Scene) -> tuple[Order, Check]:
    scene.bring("orders")
    ending = scene.run(integrate, Fault(Kind.KILL, "before lake: POST refs/*/merge/main"))
    assert ending.hit, f"nothing was merged into main: {ending}"
    return reconcile_only, _nothing_more


PROTOCOLS = (
    Protocol("ingest", _ingest),
    Protocol("advance main", _land),
    Protocol("revert", _revert),
    Protocol("repair main", _repair),
    Protocol("restore main", _restore),
    Protocol("adopt", _adopt),
    Protocol("stage", _stage),
    Protocol("promote", _promote),
    Protocol("warm rollback", _roll_back_warm),
    Protocol("cold rollback", _roll_back_cold),
    Protocol("reconcile main", _reconcile_main),
    Protocol("reconcile production", _reconcile_production),
)
