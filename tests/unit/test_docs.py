"""What README and docs/ promise, compared with the code in both directions, and the site that is built of it."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

import dartifact as da
from dartifact.cli.app import app, main
from dartifact.cli.exit_codes import EXIT_CODES
from dartifact.cli.text.diff import stream_documents
from dartifact.cli.verbs import VERBS as TABLE
from dartifact.compare.diff import report as diff_report
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Outcome, VerdictKind
from dartifact.domain.culprits import CulpritKind
from dartifact.domain.dartifacts import DartifactState
from dartifact.domain.people import Role
from dartifact.domain.runs import Phase
from dartifact.domain.windows import WindowState
from dartifact.settings import Settings
from tests.conftest import PROJECT
from tests.support.options_page import PAGE, render_options

DOCS = PROJECT / "docs"
PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
}
README = PAGES[PROJECT / "README.md"]
ALL = "\n".join(PAGES.values())
COMMAND: Any = typer.main.get_command(app)
SETTINGS = {f"DARTIFACT_{name.upper()}" for name in Settings.model_fields}
VERBS = {verb.name for verb in TABLE}
STATES: dict[str, type[StrEnum]] = {
    "a run (*phase*)": Phase,
    "a window": WindowState,
    "a check": Outcome,
    "a gate": Gate,
    "a verdict": VerdictKind,
    "a dartifact": DartifactState,
    "a culprit": CulpritKind,
}
LONGEST = 120


def table(*heads: str) -> list[list[str]]:
    """Return the rows of the one table whose columns have these heads."""
    found = []
    lines = iter(ALL.splitlines())
    for line in lines:
        if cells(line) == list(heads):
            next(lines)  # the rule below the heads
            rows = []
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append(cells(row))
            found.append(rows)
    assert len(found) == 1, f"{len(found)} tables of {heads}"
    return found[0]


def cells(line: str) -> list[str]:
    # A pipe inside a cell is written \|.
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def codes(cell: str) -> list[str]:
    """Return what a cell has in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(text: str, *languages: str) -> Iterator[str]:
    """Yield the fenced blocks of these languages."""
    for head, body in re.findall(r"^ *```(\S*)[^\n]*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        if head in languages:
            yield body


def list_commands() -> list[str]:
    """Return every command with its arguments: in a shell block, behind a prompt, or in backticks."""
    lines = [line for text in PAGES.values() for block in blocks(text, "sh", "bash") for line in block.splitlines()]
    lines += [line[2:] for line in ALL.splitlines() if line.startswith("$ ")]
    lines += re.findall(r"`((?:uv run )?dartifact [^`]+)`", ALL)
    parts = [part.strip() for line in lines for part in re.split(r"&&|  +#", line)]
    return [match.group(1) for part in parts if (match := re.fullmatch(r"(?:uv run )?dartifact ([a-z].*)", part))]


def find_command(words: list[str]) -> Any:
    """Return the command that the first word names, or the two first words of a group."""
    found = COMMAND.get_command(None, words[0])
    if hasattr(found, "list_commands") and len(words) > 1:
        found = found.get_command(None, words[1]) or found
    return found


def list_options(command: Any) -> set[str]:
    """Return the options of a command and of all that are below it."""
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    below = [list_options(command.get_command(None, name)) for name in names]
    return {name for parameter in command.params for name in parameter.opts}.union(*below)


def first_line(member: Any) -> str:
    return (inspect.getdoc(member) or "").splitlines()[0]


# Settings


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
    named = set(re.findall(r"DARTIFACT_[A-Z][A-Z_]*[A-Z]", ALL))
    assert named - SETTINGS - {name for name in named if name.startswith("DARTIFACT_TEST_")} == set()


def test_readme_has_what_the_hints_of_the_code_send_people_to() -> None:
    assert {"## Settings", "## Sign-in"} <= set(README.splitlines())
    assert "`DARTIFACT_LAKE_URL`" in README


# Verbs


def test_every_verb_is_in_the_table_of_verbs_and_nothing_else_is() -> None:
    told = [re.match(r"`dartifact (\S+?)[` ]", row[0]) for row in table("verb", "does")]
    assert all(told)
    assert sorted(match.group(1) for match in told if match) == sorted(VERBS)


def test_no_verb_is_named_anywhere_that_does_not_exist() -> None:
    commands = re.findall(r"(?:`|uv run |^\$ )dartifact ([a-z][a-z-]*)", ALL, re.MULTILINE)
    commands += [command.split()[0] for command in list_commands()]
    assert {"demo", "init", "rollback"} <= set(commands)
    assert set(commands) <= VERBS


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z][a-z-]*)", ALL))))
def test_an_option_that_is_named_belongs_to_a_verb(option: str) -> None:
    assert option in list_options(COMMAND) | {"--help"}


@pytest.mark.parametrize("command", sorted(set(list_commands())))
def test_an_option_of_a_command_is_one_of_its_own_verb(command: str) -> None:
    words = command.split()
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= list_options(find_command(words)) | {"--help"}


def test_the_page_of_options_is_what_the_code_says() -> None:
    assert PAGES[PAGE] == render_options(), "uv run python -m tests.support.options_page"


def test_the_exit_codes_are_those_of_the_code() -> None:
    assert [(int(code), meaning) for code, meaning in table("exit code", "meaning")] == sorted(EXIT_CODES.items())


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["dartifact", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code or 0, capsys.readouterr().out) == (0, f"dartifact {version('dartifact')}\n")


# Words, deployments, Python


def test_the_states_are_those_of_the_code() -> None:
    told = {kind: codes(states) for kind, states in table("of", "states")}
    assert told == {kind: [state.value for state in states] for kind, states in STATES.items()}


def test_every_gate_and_every_role_is_explained() -> None:
    assert [row[0] for row in table("gate", "red means")] == [gate.value for gate in Gate]
    assert [row[0].strip("`") for row in table("role", "may")] == [role.value for role in Role]


def test_the_deployments_are_those_of_prefect_yaml() -> None:
    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert table("deployment", "entry point", "schedule") == [
        [f"`{each['name']}`", f"`{each['entrypoint']}`", describe_schedule(each["schedules"])] for each in deployments
    ]


def describe_schedule(schedules: list[dict[str, Any]]) -> str:
    if not schedules:
        return "none"
    (schedule,) = schedules
    return f"{schedule['interval']} s" if "interval" in schedule else "`DARTIFACT_INGEST_SECONDS`"


def test_every_name_of_the_package_is_explained_and_no_other() -> None:
    assert sorted(row[0] for row in table("name", "what it is")) == sorted(f"`da.{name}`" for name in da.__all__)
    named = set(re.findall(r"\bda\.([A-Za-z_]+)", ALL))
    assert named <= set(da.__all__)


@pytest.mark.parametrize("declared", [da.Source, da.Ingestor], ids=lambda declared: declared.__name__)
def test_every_field_of_a_declaration_is_explained(declared: Any) -> None:
    told = [row[0].strip("`") for row in table(f"field of `da.{declared.__name__}`", "meaning")]
    assert told == [field.name for field in fields(declared)]


def test_every_method_of_a_run_is_told_as_it_is_called() -> None:
    told = {row[0].strip("`").partition("(")[0]: row[0].strip("`") for row in table("method of a run", "returns")}
    public = {name: member for name, member in vars(da.RunData).items() if name[0] != "_" and callable(member)}
    assert set(public) == set(told)
    for name, member in public.items():
        parameters = [each for each in inspect.signature(member).parameters.values() if each.name != "self"]
        plain = [re.sub(r": [^=]+?( = |$)", r"\1", str(each)).replace(" = ", "=") for each in parameters]
        first = next((at for at, each in enumerate(parameters) if each.kind is each.KEYWORD_ONLY), None)
        if first is not None:
            plain.insert(first, "*")
        assert told[name] == f"{name}({', '.join(plain)})"


@pytest.mark.parametrize("name", ["RestSource", "SalesforceSource"])
def test_every_parameter_of_a_source_is_told(name: str) -> None:
    (told,) = re.findall(rf"^`da\.{name}\((.*)\)`$", ALL, re.MULTILINE)
    assert [part for part in told.split(", ") if part != "*"] == list(inspect.signature(getattr(da, name)).parameters)


def test_every_error_is_told_as_its_docstring_says() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, da.DartifactError)]
    assert table("class", "what to do") == [
        [f"`{kind.__name__}`", first_line(kind)] for kind in kinds if kind is not da.DartifactError
    ]


DIFF_DOCUMENTS = [
    each
    for each in vars(diff_report).values()
    if isinstance(each, type) and is_dataclass(each) and each is not diff_report.LoneTables
]


@pytest.mark.parametrize("document", DIFF_DOCUMENTS, ids=lambda document: document.__name__)
def test_every_field_of_the_document_of_a_diff_is_explained(document: Any) -> None:
    told = [row[0].strip("`") for row in table(f"field of `{document.__name__}`", "type", "meaning")]
    names = [field.name for field in fields(document)]
    assert told == (["schema_version", "same", *names] if document is diff_report.DiffReport else names)


def test_the_document_of_several_tables_is_told_as_it_is_printed() -> None:
    printed = json.loads("".join(stream_documents([], diff_report.NO_TABLES)))
    assert [row[0].strip("`") for row in table("field of the document of all", "type", "meaning")] == list(printed)
    assert printed["schema_version"] == diff_report.SCHEMA_VERSION == 1


# Commands that a user copies


def test_the_two_commands_of_readme_are_there() -> None:
    commands = [line.partition("  ")[0] for block in blocks(README, "sh") for line in block.splitlines()]
    assert {
        "pip install uv && uv run dartifact demo --once",
        "pip install uv && uv run pytest",
    } <= set(commands)


@pytest.mark.parametrize("page", [PROJECT / "README.md", DOCS / "how-to" / "run-it-for-real.md"], ids=lambda p: p.stem)
def test_the_automation_that_is_created_from_a_file_is_there(page: Path) -> None:
    ((code, rest),) = re.findall(r'--from-file "\$\((?:uv run )?python -c \'(.+?)\'\)(\S+)"', PAGES[page])
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip() + rest).is_file()


# Pages, links, the site


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 160


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_and_picture_of_a_page_is_there(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("https://", "#")):
            path = page.parent / target.partition("#")[0]
            assert path.is_file(), target
            assert not page.is_relative_to(DOCS) or path.resolve().is_relative_to(DOCS), f"{target} is not in the site"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_no_line_of_prose_is_too_long(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    assert [line for line in text.splitlines() if len(line) > LONGEST and line[0] not in "|!#"] == []


def test_every_picture_is_shown() -> None:
    shown = {name for text in PAGES.values() for name in re.findall(r"pictures/([a-z]+\.png)", text)}
    assert shown == {path.name for path in (DOCS / "pictures").iterdir()}


def test_the_wheel_is_without_the_docs() -> None:
    wheel = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["dartifact"]
    assert not [name for name in wheel["force-include"] if name.startswith(("docs", "mkdocs"))]


class _Loaded(HTMLParser):
    """Collects what a browser loads by itself when it shows a page: everything but links to follow."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.addresses += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "data")]


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_another_host(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert len(pages) == len(list(DOCS.rglob("*.md"))) + 1  # and the one for what is not found
    for path, text in pages.items():
        loaded = _Loaded()
        loaded.feed(text)
        assert loaded.addresses, path
        assert [each for each in loaded.addresses if re.match(r"(?:[a-z]+:)?//", each)] == [], path
        assert not re.search(r"https://fonts|unpkg|\bcdn\b|class=\"mermaid\"", text), path
    for path in site.rglob("*.css"):
        assert not re.search(r"@import|url\([\"']?(?:https?:)?//", path.read_text(encoding="utf-8")), path
