"""The registry of events: what the engine writes and what is registered are the same names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain.events import EventType

ENGINE = Path(__file__).resolve().parents[2] / "dartifact"
ROOMS = ("adapters", "commands", "documents")
READS = {"events", "events_after", "first_times", "actors"}
WRITES = {"append", "move", "swap_pointer", "end", "add", "remove", "_add_run", "_swap"}
COLUMNS = {"run", "dartifact", "operation"}
OF_THE_CALL = {"expect", "adopt", "gate", "changes", "clock", "backfill", "repairs"}


def modules(*roots: Path) -> Iterator[tuple[Path, ast.Module]]:
    for root in roots:
        for file in [root] if root.is_file() else sorted(root.rglob("*.py")):
            yield file, ast.parse(file.read_text())


def named(node: ast.AST) -> Iterator[str]:
    """Name the members of EventType that are part of a piece of code; not those by which it reads or compares."""
    if isinstance(node, ast.Compare | ast.pattern) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READS
    ):
        return
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "EventType":
        yield node.attr
    for child in ast.iter_child_nodes(node):
        yield from named(child)


def writing_calls(tree: ast.Module) -> Iterator[tuple[EventType, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for each in node.args if name in WRITES else ():
                yield from ((EventType[member], node) for member in named(each))


def test_every_registered_event_is_written_somewhere_in_the_engine() -> None:
    written = {
        name
        for _, tree in modules(*(ENGINE / room for room in ROOMS))
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for statement in function.body
        for name in named(statement)
    }
    assert written == {each.name for each in EventType}


def test_nothing_names_an_event_by_a_literal() -> None:
    registry = ENGINE / "domain" / "events.py"
    names = {each.value for each in EventType}
    found = [
        f"{file.relative_to(ENGINE.parent)}:{node.lineno} {node.value}"
        for file, tree in modules(ENGINE, ENGINE.parent / "ui")
        if file != registry
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert found == []


def test_events_are_written_with_registered_details_only() -> None:
    checked, unknown = set(), []
    for file, tree in modules(*(ENGINE / room for room in ROOMS)):
        for event, call in writing_calls(tree):
            checked.add(event)
            given = {each.arg for each in call.keywords if each.arg is not None} - COLUMNS - OF_THE_CALL
            unknown += [f"{file.name} {event.name} {name}" for name in sorted(given - event.details)]
    assert unknown == []
    assert len(checked) > 60


@pytest.mark.parametrize("event", EventType)
def test_every_event_says_in_one_sentence_what_it_means(event: EventType) -> None:
    assert event.meaning.endswith(".")
    assert event.name == "".join(f"_{each}" if each.isupper() else each for each in event.value).strip("_").upper()


def test_ledger_refuses_an_event_that_is_not_registered(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", lambda: datetime(2021, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="RunMergedd"), ledger.write() as tx:
        tx.append("RunMergedd", "test")  # type: ignore[arg-type]
    with ledger.write() as tx:
        tx.append(EventType.RUN_MERGED, "test", run="a")
    assert [event.type for event in ledger.events()] == ["RunMerged"]
    ledger.close()
