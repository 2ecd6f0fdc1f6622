"""Write docs/reference/options.md from the verbs: `uv run python -m tests.support.options_page`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import typer.main

from dartifact.cli.app import app
from dartifact.cli.verbs import VERBS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "options.md"
_HEAD = """\
# Options

What each verb takes, as `dartifact VERB --help` prints it. This page is written from the code. [Verbs](verbs.md) says
what each one is for.
"""


def render_options() -> str:
    """Return the page: every verb with its arguments and options, by section."""
    root: Any = typer.main.get_command(app)
    lines = [_HEAD]
    for section, verbs in groupby(VERBS, key=lambda verb: verb.section):
        lines.append(f"## {section.value}\n")
        for verb in verbs:
            lines.extend(_render(f"dartifact {verb.name}", root.get_command(None, verb.name)))
    return "\n".join(lines)


def _render(name: str, command: Any) -> Iterator[str]:
    if hasattr(command, "list_commands"):
        for below in command.list_commands(None):
            yield from _render(f"{name} {below}", command.get_command(None, below))
        return
    taken = [each for each in command.params if each.name != "help"]
    yield f"### {' '.join([name, *(_name(each) for each in taken if each.param_type_name == 'argument')])}\n"
    yield f"{command.help.strip()}\n"
    if taken:
        yield "| takes | meaning |\n|---|---|"
        yield from (f"| {_spell(each)} | {(each.help or '').replace('|', chr(92) + '|')} |" for each in taken)
        yield ""


def _name(argument: Any) -> str:
    name = (argument.metavar or argument.name).strip("[]").upper()
    return name if argument.required else f"[{name}]"


def _spell(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_name(parameter)}`"
    spelled = ", ".join(f"`{option}`" for option in parameter.opts)
    return f"{spelled} (required)" if parameter.required else spelled


if __name__ == "__main__":
    PAGE.write_text(render_options(), encoding="utf-8")
