"""The crash rule, systematically: each protocol is broken at each of its writes, in each way that there is.

One case: set the scene, run the protocol's command in a process of its own, let the fault strike at the n-th point,
recover as the product does, and compare everything. The points are counted while the command runs, one case for each,
until it ends without being struck; that last one shows that the scene holds without a fault too.
"""

from __future__ import annotations

import ast
import inspect
import os
import traceback
from collections.abc import Callable

import pytest

from dartifact.adapters.lakefs import lake
from tests.faults.children import Fault, Kind, Side, Store
from tests.faults.conftest import ON_POSTGRESQL, Scenes
from tests.faults.protocols import PROTOCOLS, Protocol
from tests.faults.scene import Scene

# Long columns of cases are cut in two, so that two test processes share them.
_PARTS = {Kind.KILL: 2}
# Every day only each third of these points is tried, another third for each protocol; all with this variable set.
_STEPS = {} if "DARTIFACT_TEST_ALL_POINTS" in os.environ else {Kind.PAUSE: 3, Kind.CLOCK: 3}
CELLS = [
    pytest.param(protocol, kind, part, _PARTS.get(kind, 1), id=f"{protocol.name} - {kind.value} - {part + 1}")
    for kind in Kind
    for protocol in PROTOCOLS
    for part in range(_PARTS.get(kind, 1))
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("protocol", "kind", "part", "parts"), CELLS)
def test_a_protocol_broken_at_any_write_is_finished_or_dropped_by_the_next_start(
    scenes: Scenes, protocol: Protocol, kind: Kind, part: int, parts: int, note_cell: Callable[..., None]
) -> None:
    failures: list[str] = []
    struck = polls = leftovers = 0
    step = _STEPS.get(kind, 1)
    number = 1 + PROTOCOLS.index(protocol) % step + part * step
    while len(failures) < 3:
        scene = scenes.take()
        left, polled = scene.count_leftovers(), scene.reader.polls
        try:
            with scene.reader.reading():
                point = break_once(scene, protocol, Fault(kind, number))
        except Exception as error:  # noqa: BLE001 - the other points are tried all the same
            failures.append(f"point {number}: {''.join(traceback.format_exception(error))}")
            point = "one that failed"
            scenes.give_up()
        else:
            polls += scene.reader.polls - polled
            leftovers += scene.count_leftovers() - left if point else 0
        if point is not None:
            struck += 1
            number += parts * step
        elif struck or number == 1:
            break
        else:
            number = 1  # it has fewer points than the first one that was to be tried
    column = kind.value if step == 1 else f"{kind.value}, 1 in {step}"
    note_cell(protocol.name, column, struck, len(failures), polls, leftovers)
    assert not failures, "\n".join(failures)
    assert struck


def break_once(scene: Scene, protocol: Protocol, fault: Fault) -> str | None:
    """Play one case; return the point that was struck, None when the command has fewer."""
    order, check = protocol.set_up(scene)
    ending = scene.run(order, fault, again=order)
    where = f"{fault.kind} {ending.hit}"
    if ending.hit is None:
        assert (ending.error, ending.exitcode) == (None, 0), f"nothing was broken: {ending.error}"
    elif fault.kind is Kind.KILL:
        assert ending.exitcode == -9, f"{where}: it lives"
    elif fault.kind is not Kind.FULL:
        assert ending.is_ours, f"{where}: {ending.error}"
    try:
        scene.recover(order)
        check()
        scene.wait_for_reader()
        scene.look()
    except Exception as error:
        error.add_note(f"{where}; it had said: {ending.error}")
        raise
    return str(ending.hit) if ending.hit else None


@pytest.mark.skipif(ON_POSTGRESQL, reason="it counts the transactions of SQLite's own log")
def test_every_write_that_leaves_a_process_is_a_point(scenes: Scenes) -> None:
    methods: set[str] = set()
    for protocol in PROTOCOLS:
        scene = scenes.take()
        order, check = protocol.set_up(scene)
        seen, transactions = len(scene.proxy.seen), scene.count_transactions()
        ending = scene.run(order)
        sent = [each for each in scene.proxy.seen[seen:] if not each.startswith(("GET ", "HEAD ", "OPTIONS "))]
        assert ending.error is None
        committed = scene.count_transactions() - transactions
        for side in (Side.BEFORE, Side.AFTER):
            assert len(sent) == ending.count((side, Store.LAKE)), f"{protocol.name}: {sent}"
        for side in (Side.OPEN, Side.AFTER):
            assert committed == ending.count((side, Store.LEDGER)), f"{protocol.name}: {ending.points}"
        methods |= {point.method for point in ending.points if point.store is Store.LAKE}
        check()
    # A way to write that no protocol uses would have no point.
    assert methods == writing_methods()


def writing_methods() -> set[str]:
    """Name the methods of the lake that write, but for those that set a repository up."""
    [lake_class] = [node for node in ast.parse(inspect.getsource(lake)).body
                    if isinstance(node, ast.ClassDef) and node.name == "Lake"]  # fmt: skip
    writing = {
        method.name
        for method in lake_class.body
        if isinstance(method, ast.FunctionDef)
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and node.attr == "write" and ast.unparse(node.value) == "self._calls"
    }
    return writing - {"prepare", "protect", "is_protected"}
