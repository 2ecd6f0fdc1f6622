"""The table of verbs, the two functions of each, and what is imported for a question that needs little."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import get_type_hints

import pytest

from dartifact.cli.lazy import find_action, find_signature
from dartifact.cli.verbs import VERBS, Verb

HEAVY = {"dbt", "httpx", "lakefs_sdk", "pandas", "prefect", "pyarrow", "rich", "soda_core"}
LIBRARIES = HEAVY | {"duckdb", "sqlalchemy"}
ENGINE = {f"dartifact.{name}" for name in ("adapters", "commands", "compare", "documents", "settings", "wiring")}
NARROW = 80


def list_leaves(verbs: Iterable[Verb]) -> Iterator[Verb]:
    """Return the verbs that do something, those of a group after one another."""
    for verb in verbs:
        yield from list_leaves(verb.verbs) if verb.verbs else (verb,)


LEAVES = {verb.name: verb for verb in list_leaves(VERBS)}


def list_imported(*arguments: str) -> tuple[set[str], str]:
    """Run the command line in a process of its own; return the modules that it imported, and what it printed."""
    code = (
        "import sys; from dartifact.cli.app import main\n"
        f"sys.argv = ['dartifact', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *printed, imported = done.stdout.splitlines()
    return set(imported.split()), "\n".join(printed)


def test_no_two_verbs_have_one_name() -> None:
    assert len({verb.name for verb in VERBS}) == len(VERBS)


@pytest.mark.parametrize("name", LEAVES)
def test_an_action_takes_what_the_signature_of_its_verb_says(name: str) -> None:
    signature, action = find_signature(LEAVES[name]), find_action(LEAVES[name])
    assert list(inspect.signature(action).parameters) == list(inspect.signature(signature).parameters)
    assert get_type_hints(action) == get_type_hints(signature)


@pytest.mark.parametrize("name", LEAVES)
def test_the_line_of_a_verb_is_the_first_of_its_own_help_and_fits(name: str) -> None:
    verb = LEAVES[name]
    assert (inspect.getdoc(find_signature(verb)) or "").splitlines()[0] == verb.help
    assert len(f"  {max(LEAVES, key=len)}  {verb.help}") < NARROW


def test_help_lists_every_verb_from_the_table_alone() -> None:
    imported, printed = list_imported("--help")
    assert imported.isdisjoint(LIBRARIES | ENGINE)
    assert not any(name.startswith(("dartifact.cli.signatures", "dartifact.cli.actions")) for name in imported)
    listed = re.findall(r"^  ([a-z][a-z-]+)  +(\S.*)$", printed, re.MULTILINE)
    assert listed == [(verb.name, verb.help) for verb in VERBS]


def test_the_help_of_a_verb_imports_its_signature_and_no_engine() -> None:
    for verb in ("promote", "diff", "ingest", "fix"):
        imported, printed = list_imported(verb, "--help")
        assert imported.isdisjoint(LIBRARIES | ENGINE)
        assert "dartifact.cli.actions" not in imported
        assert LEAVES[verb].help in printed
    _, printed = list_imported("checks", "--help")
    assert LEAVES["self-test"].help in printed


def test_light_verbs_import_no_heavy_library() -> None:
    for name in ("resolve", "status", "rollback", "pause", "approve", "runs"):
        code = f"import sys, dartifact.cli.actions.{LEAVES[name].action}; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) & HEAVY - ({"rich"} if name == "runs" else set()) == set(), name


def test_a_verb_that_is_misspelled_is_suggested() -> None:
    code = "import sys; from dartifact.cli.app import main; sys.argv = ['dartifact', 'promoted']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such command 'promoted'. Did you mean 'promote'?" in done.stderr
