"""What people call a state of the data, as a reference of the lake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from dartifact.commands.stack import Stack
from dartifact.domain.errors import NotFound
from dartifact.domain.hints import Command
from dartifact.domain.runs import read_run_id
from dartifact.domain.times import read_moment

_MOST_COMMITS = 1_000_000


def resolve_ref(stack: Stack, name: str) -> str:
    """Return the reference of the lake that a dartifact's id, a run's id or a reference itself names.

    `main@yesterday`, `main@3h`, `main@2021-01-31`: what a branch showed at that time. NotFound: there is no such thing;
    UsageError: what follows the `@` is no time.
    """
    branch, is_past, moment = name.partition("@")
    if is_past and moment:
        return _find_past(stack, branch, read_moment(moment, stack.clock()))
    lookups: tuple[Callable[[], str | None], ...] = (
        lambda: stack.ledger.dartifact(name).commit,
        lambda: stack.ledger.run(read_run_id(name)).commit,
        lambda: stack.lake.commit_of(name).commit_id,
    )
    for look in lookups:
        try:
            found = look()
        except NotFound:
            continue
        if found is None:
            raise NotFound(f"{name} holds no data", hint=Command("show", name))
        return found
    raise NotFound(
        f"there is no run, dartifact, branch or commit {name}", hint=(Command("runs"), ", or ", Command("status"))
    )


def _find_past(stack: Stack, branch: str, moment: datetime) -> str:
    """Return the commit that a branch stood on at a time."""
    for commit in stack.lake.log(branch, most=_MOST_COMMITS):
        if commit.created <= moment.timestamp():
            return commit.commit_id
    raise NotFound(f"{branch} has no commit from before {moment:%Y-%m-%d %H:%M} UTC", hint="name a later time")
