"""Verbs that look at runs: list them, show one, check one out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dartifact.cli.frame import Output, OutputOption, answer, opened, say
from dartifact.domain import errors


def add_verbs(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    for verb in (runs, show, checkout):
        app.command()(verb)


def runs(
    phase: Annotated[str, typer.Option(help="only runs in this phase")] = "",
    source: Annotated[str, typer.Option(help="only runs of this source")] = "",
    most: Annotated[int, typer.Option(help="how many, the newest first", min=1)] = 50,
    output: OutputOption = Output.TEXT,
) -> None:
    """List runs, the newest first."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.domain.runs import Phase  # noqa: PLC0415

    known = [each.value for each in Phase]
    if phase and phase not in known:
        raise errors.UsageError(f"there is no phase {phase}; there are {', '.join(known)}")
    with opened(lake=False, sources=False) as (_, stack):
        found = stack.ledger.runs(phases=(Phase(phase),) if phase else None, source=source or None, most=most)
    document = [documents.describe_run(run) for run in found]
    answer(document, output, cli_words.tell_runs(found) if output is Output.TEXT else "")


def show(
    id: Annotated[str, typer.Argument(help="a run id (or its branch) or a dartifact id")],
    failing: Annotated[str, typer.Option(help="only the failing rows of this check; part of its name will do")] = "",
    most: Annotated[int, typer.Option(help="with --failing: how many rows are shown", min=1)] = 20,
    rows: Annotated[
        Path | None, typer.Option(help="with --failing: write all that were kept to this .parquet or .csv file")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:  # fmt: skip
    """Show one run with its checks, failing rows and events, or one dartifact with its passport."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.gates.failing_rows import find_check, write_failing_rows  # noqa: PLC0415

    if rows and not failing:
        raise errors.UsageError(
            "--rows writes the failing rows of one check", hint=f"dartifact show {id} --failing CHECK"
        )
    with opened(sources=False) as (_, stack):
        if not failing:
            document = documents.describe_one(stack, id)
            answer(document, output, cli_words.tell_one(document) if output is Output.TEXT else "")
            return
        run = stack.ledger.run(id.removeprefix("run-"))
        document = documents.describe_failing(stack, run, failing, most)
        if rows:
            written = write_failing_rows(stack, run, find_check(stack, run, failing), rows)
            say(f"{written:,} rows are in {rows}")
    answer(document, output, cli_words.tell_failing(document) if output is Output.TEXT else "")


def checkout(
    run: Annotated[str, typer.Argument(help="a run id (or its branch)")],
    to: Annotated[Path | None, typer.Option(help="the folder to write; default one named like the run")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write a folder with the batch of a run, its failing rows, what main has, a DuckDB file and a notebook."""
    from dartifact.commands.review.checkout import check_out  # noqa: PLC0415

    name = run.removeprefix("run-")
    folder = to or Path(name)
    with opened() as (_, stack):
        files = check_out(stack, name, folder)
    lines = [f"{folder}/", *(f"  {each.relative_to(folder)}" for each in files), f"next: read {folder / 'README.md'}"]
    answer({"folder": str(folder), "files": [str(each) for each in files]}, output, "\n".join(lines))
