"""Verbs of a person's decisions: approve, reject, recheck, fix and open runs; waive checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dartifact.cli.frame import Output, OutputOption, answer, end_by_phase, opened, say
from dartifact.cli.windows import ReasonOption, read_time

RunArgument = Annotated[str, typer.Argument(help="a run id (or its branch)")]
NameArgument = Annotated[str, typer.Argument(help="a run id (or its branch), or a dartifact")]
CommitOption = Annotated[str, typer.Option(help="only if this is still its commit")]


def add_verbs(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    for verb in (approve, reject, recheck, fix, waive, waivers, unwaive):
        app.command()(verb)
    app.command(name="leave-out")(leave_out)
    app.command(name="open")(open_)


def approve(
    run: NameArgument,
    reason: ReasonOption,
    commit: CommitOption = "",
    report: Annotated[str, typer.Option(help="only if this is still its report")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Accept the failing checks of a stopped run and request its merge, or say yes to promoting a dartifact.

    The failing checks are accepted as they are: anything new still stops the run.
    """
    from dartifact import documents  # noqa: PLC0415
    from dartifact.commands.production.approvals import approve_dartifact, find_approvals  # noqa: PLC0415
    from dartifact.commands.review.decide import approve as command  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        if stack.ledger.has_dartifact(run):
            dartifact = approve_dartifact(stack, run, reason=reason, actor=settings.person, commit=commit or None)
            given = find_approvals(stack, dartifact)
            document = {**documents.describe_dartifact(dartifact), "approvals": [each.actor for each in given]}
            text = f"{run} is approved by {', '.join(each.actor for each in given)}"
            answer(document, output, f"{text}; the policy asks for {stack.policy.approvals}\nnext: dartifact promote")
            return
        done = command(stack, run.removeprefix("run-"), reason=reason, actor=settings.person, commit=commit or None,
                       report=report or None)  # fmt: skip
        waived = [each for each in stack.ledger.waivers(run_ids=[done.run_id]) if each.ended_at is None]
        document = {**documents.describe_run(done), "waivers": [documents.describe_waiver(each) for each in waived]}
    lines = [f"{done.run_id} is approved and {done.phase}"]
    lines += [f"  accepted: {each.check}, {each.rows:,} failing rows" for each in waived if each.commit == done.commit]
    answer(document, output, "\n".join([*lines, "next: dartifact integrate"]))


def reject(
    run: NameArgument, reason: ReasonOption, commit: CommitOption = "", output: OutputOption = Output.TEXT
) -> None:
    """Decide that a run never lands (its window stays a hole), or that a dartifact is never promoted."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.production.approvals import reject_dartifact  # noqa: PLC0415
    from dartifact.commands.review.decide import reject as command  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        if stack.ledger.has_dartifact(run):
            bad = reject_dartifact(stack, run, reason=reason, actor=settings.person, commit=commit or None)
            answer(documents.describe_dartifact(bad), output, cli_words.tell_dartifact(bad))
            return
        done = command(stack, run.removeprefix("run-"), reason=reason, actor=settings.person, commit=commit or None)
        holes = [hole for hole in documents.describe_holes(stack) if hole["run_id"] == done.run_id]
        document = documents.describe_run(done)
    lines = [f"{done.run_id} is rejected"]
    for hole in holes:
        lines += ["its rows are missing from main; bring them again or accept that:",
                  f"  {hole['backfill']}", f"  {hole['accept']}"]  # fmt: skip
    answer(document, output, "\n".join(lines))


def recheck(run: RunArgument, output: OutputOption = Output.TEXT) -> None:
    """Ask the local gate of a stopped run again, after a change of checks/ say."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.review.decide import recheck as command  # noqa: PLC0415

    with opened(tells=True) as (settings, stack):
        done = command(stack, run.removeprefix("run-"), actor=settings.person, wait=say)
        document = documents.describe_run(done)
    answer(document, output, cli_words.tell_runs_brought([done]))
    end_by_phase([done])


def fix(
    run: RunArgument,
    reason: ReasonOption,
    file: Annotated[
        Path | None, typer.Option(help="Parquet or CSV with all rows of the run; default what its branch holds")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give a stopped or reverted run other rows, and check it again."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.adapters.tables.row_files import read_rows  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.review.fix import fix as command  # noqa: PLC0415

    rows = read_rows(file) if file else None
    with opened(tells=True) as (settings, stack):
        before = stack.ledger.run(run.removeprefix("run-")).rows
        done = command(stack, run.removeprefix("run-"), rows, reason=reason, actor=settings.person, wait=say)
        document = documents.describe_run(done)
    say(f"{done.run_id} has {done.rows or 0:,} rows now; it had {before or 0:,}")
    answer(document, output, cli_words.tell_runs_brought([done]))
    end_by_phase([done])


def leave_out(run: RunArgument, reason: ReasonOption, output: OutputOption = Output.TEXT) -> None:
    """Bring the rows of a stopped run that no failing check names; the failing ones stay on its branch."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.review.split import leave_out as command  # noqa: PLC0415

    name = run.removeprefix("run-")
    with opened(tells=True) as (settings, stack):
        brought = stack.ledger.run(name).rows or 0
        done = command(stack, name, reason=reason, actor=settings.person, wait=say)
        left = stack.ledger.run(name).rows or 0
        document = {**documents.describe_run(done), "brought": brought, "left_out": left, "came_from": name}
    say(f"of {brought:,} rows {done.rows or 0:,} are {done.run_id} now, {left:,} stay on run-{name}")
    answer(document, output, cli_words.tell_runs_brought([done]))
    end_by_phase([done])


def open_(
    dataset: Annotated[str, typer.Option(help="the dataset to change, e.g. orders")],
    reason: ReasonOption,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start a change by hand: a run without a source, whose rows come with `fix` and pass the same gates."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.commands.review.fix import open_change as command  # noqa: PLC0415

    with opened(lake=False) as (settings, stack):
        done = command(stack, dataset, reason=reason, actor=settings.person)
        columns = ", ".join(name for name, _ in stack.contract(dataset).columns)
        document = documents.describe_run(done)
    text = f"{done.run_id} waits for its rows: new versions of {dataset}, `_deleted` true for those to be deleted"
    text += f"\n  columns: {columns}\nnext: dartifact fix {done.run_id} --file FILE --reason WHY"
    answer(document, output, text)


def waive(
    dataset: Annotated[str, typer.Argument(help="a dataset or mart, e.g. orders")],
    check: Annotated[str, typer.Argument(help="a check of it, as `dartifact show RUN` names it")],
    until: Annotated[str, typer.Option(help="ISO date or time at which it ends; UTC unless it names a zone")],
    reason: ReasonOption,
    rows: Annotated[int | None, typer.Option(help="failing rows of a run that are accepted; default as last seen",
                                             min=0)] = None,
    output: OutputOption = Output.TEXT,
) -> None:  # fmt: skip
    """Accept, up to a date, that a check of a dataset fails; it only warns until then."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.commands.gates.waivers import waive as command  # noqa: PLC0415

    end = read_time(until)
    with opened(lake=False) as (settings, stack):
        made = command(stack, dataset, check, until=end, reason=reason, actor=settings.person, rows=rows)
    text = (
        f"waiver {made.waiver_id}: {check} only warns until {end:%Y-%m-%d %H:%M} UTC, with {made.rows:,} rows at most"
    )
    answer(documents.describe_waiver(made), output, text + "\nnext: dartifact recheck RUN, for a run it has stopped")


def waivers(
    everything: Annotated[bool, typer.Option("--all", help="ended ones and approvals of single runs, too")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the waivers that hold, and who has accepted what."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415

    with opened(lake=False, sources=False) as (_, stack):
        found = stack.ledger.waivers(everything=everything)
        now = stack.clock()
    document = [documents.describe_waiver(each) for each in found]
    answer(document, output, cli_words.tell_waivers(found, now) if output is Output.TEXT else "")


def unwaive(
    number: Annotated[int, typer.Argument(help="the number of a waiver")],
    reason: ReasonOption,
) -> None:
    """End a waiver before its date."""
    from dartifact.commands.gates.waivers import withdraw  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        ended = withdraw(stack, number, reason=reason, actor=settings.person)
    say(f"waiver {number} {'has ended' if ended else 'had ended already'}")
