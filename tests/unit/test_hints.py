"""Hints are values: each verb that one names exists, and is written for a terminal as it is typed."""

import ast
from pathlib import Path

import pytest

from dartifact.cli.verbs import VERBS
from dartifact.domain.errors import NotFound, UsageError
from dartifact.domain.hints import Command, Hint

_ROOT = Path(__file__).resolve().parents[2]


def _named_verbs() -> set[str]:
    found = set()
    for folder in ("dartifact", "ui"):
        for path in (_ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Command":
                    first = node.args[0]
                    found |= {each.value for each in ast.walk(first) if isinstance(each, ast.Constant)}
    return found


def test_every_verb_that_a_hint_names_exists() -> None:
    named = _named_verbs()
    assert {"show", "status", "integrate"} <= named
    assert named <= {verb.name for verb in VERBS}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("--reason WHY", "--reason WHY"),
        (Command("status"), "dartifact status"),
        (Command("show", "d1"), "dartifact show d1"),
        ((Command("runs"), ", or ", Command("status")), "dartifact runs, or dartifact status"),
        ("", ""),
    ],
)
def test_hint_reads_as_it_is_typed(given: str | Command | tuple[str | Command, ...], text: str) -> None:
    error = UsageError("no", hint=given)
    assert str(error.hint) == text
    assert bool(error.hint) is bool(text)


def test_hint_of_an_error_is_handed_on_as_it_is() -> None:
    hint = NotFound("no", hint=Command("runs")).hint
    assert UsageError("no", hint=hint).hint == hint == Hint((Command("runs"),))
