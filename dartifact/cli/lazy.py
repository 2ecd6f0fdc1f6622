"""The group of verbs: lists them from the table, and imports a verb's modules only when it is asked for.

Three steps, each as cheap as it can be: `dartifact --help` reads the table; `dartifact VERB --help` imports the
signature, which knows typer only; `dartifact VERB` imports the action, with the part of the engine that it stands on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from importlib import import_module
from itertools import groupby
from typing import Any

import typer
import typer.core
import typer.main

from dartifact.cli.verbs import ALIASES, VERBS, Verb


def find_signature(verb: Verb) -> Callable[..., None]:
    """Return the function that says what a verb takes."""
    module = import_module(f"dartifact.cli.signatures.{verb.signature}")
    signature: Callable[..., None] = getattr(module, verb.function_name)
    return signature


def find_action(verb: Verb) -> Callable[..., None]:
    """Return the function that does what a verb is for."""
    action: Callable[..., None] = getattr(import_module(f"dartifact.cli.actions.{verb.action}"), verb.function_name)
    return action


class VerbGroup(typer.core.TyperGroup):
    """A group whose verbs stand in a table."""

    verbs: tuple[Verb, ...] = VERBS
    aliases: Mapping[str, tuple[str, ...]] = ALIASES

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the verbs, in the order of the table."""
        return [verb.name for verb in self.verbs]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a verb, made when it is first asked for."""
        if cmd_name not in self.commands:
            verb = next((verb for verb in self.verbs if verb.name == cmd_name), None)
            if verb is None:
                return None
            self.commands[cmd_name] = _make_command(verb)
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first argument names; a name that is near an unknown one is suggested."""
        if args[0] in self.aliases:
            now = self.aliases[args[0]]
            print(f"`dartifact {args[0]}` is called `dartifact {' '.join(now)}` now", file=sys.stderr)
            args = [*now, *args[1:]]
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            near = ", ".join(repr(name) for name in get_close_matches(args[0], names))
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {near}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the verbs, by section, from the table alone."""
        width = max(len(verb.name) for verb in self.verbs)
        for section, verbs in groupby(self.verbs, key=lambda verb: verb.section):
            with formatter.section(section.value):
                formatter.write_dl([(f"{verb.name:<{width}}", verb.help) for verb in verbs])


def _make_command(verb: Verb) -> Any:
    if verb.verbs:
        group = type("VerbGroup", (VerbGroup,), {"verbs": verb.verbs, "aliases": {}})
        app = typer.Typer(cls=group, help=verb.help, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
        app.callback()(lambda: None)
        command = typer.main.get_command(app)
        command.name = verb.name
        return command
    signature = find_signature(verb)

    @wraps(signature)
    def act(**arguments: Any) -> None:
        find_action(verb)(**arguments)

    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(name=verb.name)(act)
    return typer.main.get_command(app)
