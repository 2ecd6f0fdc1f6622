"""The verbs that a person decides with when ledger and lake, or `main` and its checks, do not fit together."""

from __future__ import annotations

import sys

import typer

from dartifact.cli.exit_codes import NOT_ALLOWED
from dartifact.cli.frame import answer, opened, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.adoption import format_adoption, format_restoration
from dartifact.commands.repair.adopt import Adoption, plan_adoption
from dartifact.commands.repair.adopt import adopt as take_in
from dartifact.commands.repair.restoration import Restoration, plan_restoration, restore
from dartifact.documents.adoption import describe_adoption, describe_restoration
from dartifact.domain.decisions import Decision


def adopt(reason: str, yes: bool, output: Output) -> None:
    """Take what the lake holds into the ledger."""
    with opened(notifies=True) as (settings, stack):
        adoption: Adoption = plan_adoption(stack)
        document = describe_adoption(adoption)
        answer(document, output, lambda: format_adoption(document))
        if adoption and _confirm(yes, reason, "Take this into the ledger?"):
            take_in(stack, adoption, Decision(settings.person, reason))
            print_progress("taken in; look at `dartifact status`, then `dartifact unfreeze` lets promotions go on")


def restore_main(reason: str, yes: bool, output: Output) -> None:
    """Bring `main` back to what was tested last."""
    with opened(notifies=True) as (settings, stack):
        restoration: Restoration | None = plan_restoration(stack)
        document = describe_restoration(restoration)
        answer(document, output, lambda: format_restoration(document))
        if restoration and _confirm(yes, reason, "Take these runs out of main?"):
            restore(stack, restoration, Decision(settings.person, reason))
            print_progress("main is what was tested last; its branches stay")


def _confirm(yes: bool, reason: str, question: str) -> bool:
    """Ask on a terminal; elsewhere end with the code of a missing approval unless it was said beforehand."""
    if yes and reason:
        return True
    if sys.stdin.isatty() and reason:
        return typer.confirm(question, err=True)
    print_progress("nothing was changed: repeat with --reason WHY --yes to do it")
    raise typer.Exit(NOT_ALLOWED)
