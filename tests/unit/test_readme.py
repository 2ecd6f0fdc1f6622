"""What README promises of settings, verbs and exit codes, compared with the code in both directions."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main

from dartifact.cli.app import app, main
from dartifact.cli.exit_codes import EXIT_CODES
from dartifact.cli.verbs import VERBS as TABLE
from dartifact.settings import Settings

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
SETTINGS = {f"DARTIFACT_{name.upper()}" for name in Settings.model_fields}
VERBS = {verb.name for verb in TABLE}


def table(*heads: str) -> list[list[str]]:
    """Return the rows of README's table whose columns have these heads."""
    lines = iter(README.splitlines())
    for line in lines:
        if cells(line) == list(heads):
            next(lines)  # the rule below the heads
            rows = []
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append(cells(row))
            return rows
    return []


def cells(line: str) -> list[str]:
    # A pipe inside a cell is written \|.
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def test_every_setting_is_in_the_table_of_settings_and_nothing_else_is() -> None:
    listed = [re.sub("`", "", row[0]) for row in table("variable", "default", "meaning")]
    assert sorted(listed) == sorted(SETTINGS)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_setting_is_told_as_the_code_describes_it(name: str) -> None:
    rows = {re.sub("`", "", row[0]): row for row in table("variable", "default", "meaning")}
    field = Settings.model_fields[name.removeprefix("DARTIFACT_").lower()]
    assert rows[name][2] == field.description
    if isinstance(field.default, int | float):
        assert rows[name][1].strip("`") in (str(field.default), str(field.default).lower())


def test_no_variable_is_named_that_does_not_exist() -> None:
    named = set(re.findall(r"DARTIFACT_[A-Z][A-Z_]*[A-Z]", README))
    assert named - SETTINGS - {name for name in named if name.startswith("DARTIFACT_TEST_")} == set()


def test_every_verb_is_in_the_table_of_verbs_and_nothing_else_is() -> None:
    told = [re.match(r"`dartifact (\S+?)[` ]", row[0]) for row in table("verb", "does")]
    assert all(told)
    assert sorted(match.group(1) for match in told if match) == sorted(VERBS)


def test_no_verb_is_named_anywhere_that_does_not_exist() -> None:
    commands = re.findall(r"(?:`|uv run |^\$ )dartifact ([a-z][a-z-]*)", README, re.MULTILINE)
    assert "demo" in commands
    assert set(commands) <= VERBS


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z][a-z-]*)", README))))
def test_an_option_that_is_named_belongs_to_a_verb(option: str) -> None:
    assert option in list_options(typer.main.get_command(app)) | {"--help"}


def list_options(command: Any) -> set[str]:
    """Return the options of a command and of all that are below it."""
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    below = [list_options(command.get_command(None, name)) for name in names]
    return {name for parameter in command.params for name in parameter.opts}.union(*below)


def test_the_exit_codes_are_those_of_the_code() -> None:
    assert [(int(code), meaning) for code, meaning in table("exit code", "meaning")] == sorted(EXIT_CODES.items())


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["dartifact", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code or 0, capsys.readouterr().out) == (0, f"dartifact {version('dartifact')}\n")
