"""Signatures of the verbs that look and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dartifact.cli.options import DiffOutput, Output, OutputOption, RunArgument


def status(output: OutputOption = Output.TEXT) -> None:
    """Show where main, the queue, staging and production stand.

    Also what is paused, which windows are missing, and which runs wait for a decision.
    """


def runs(
    phase: Annotated[str, typer.Option(help="only runs in this phase")] = "",
    source: Annotated[str, typer.Option(help="only runs of this source")] = "",
    most: Annotated[int, typer.Option(help="how many, the newest first", min=1)] = 50,
    output: OutputOption = Output.TEXT,
) -> None:
    """List runs, the newest first."""


def show(
    id: Annotated[str, typer.Argument(help="a run id (or its branch) or a dartifact id")],
    failing: Annotated[str, typer.Option(help="only the failing rows of this check; part of its name will do")] = "",
    most: Annotated[int, typer.Option(help="with --failing: how many rows are shown", min=1)] = 20,
    rows: Annotated[
        Path | None, typer.Option(help="with --failing: write all that were kept to this .parquet or .csv file")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show a run with its checks, or a dartifact.

    A run with its checks, failing rows and events; a dartifact with its passport and events.
    """


def checkout(
    run: RunArgument,
    to: Annotated[Path | None, typer.Option(help="the folder to write; default one named like the run")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the rows of a run and a notebook to a folder.

    Its batch, its failing rows, what main has of the same keys, a DuckDB file and a notebook.
    """


def diff(
    what: Annotated[str, typer.Argument(help="a run (against main) or a dartifact (against production)")] = "",
    base: Annotated[str, typer.Option(help="a file, glob, folder, branch, commit, dartifact or run")] = "",
    candidate: Annotated[str, typer.Option(help="the same; what is compared with the base")] = "",
    table: Annotated[str, typer.Option(help="a dataset, mart or table of a folder; default all marts or tables")] = "",
    key: Annotated[list[str] | None, typer.Option(help="a key column; may be repeated, or a,b")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="a column to leave out; may be repeated, or a,b")] = None,
    rename: Annotated[list[str] | None, typer.Option(help="a column's name in the base=in the candidate")] = None,
    where: Annotated[str, typer.Option(help="compare only rows that meet this SQL condition")] = "",
    sample: Annotated[str, typer.Option(help="compare only this share of the keys: 1% or 0.01")] = "",
    tolerance: Annotated[str, typer.Option(help="numbers this near are equal: 0.01 absolute, 1% relative")] = "",
    null_token: Annotated[list[str] | None, typer.Option(help="a text that is null in a CSV; may be repeated")] = None,
    infer_types: Annotated[bool, typer.Option("--infer-types", help="guess the types of a CSV's columns")] = False,
    delimiter: Annotated[str, typer.Option(help="what parts the fields of a CSV; default as its header says")] = "",
    encoding: Annotated[str, typer.Option(help="how a CSV is encoded: latin-1, utf-16, ...")] = "utf-8",
    rows: Annotated[
        Path | None, typer.Option(help="write every differing cell to this .parquet, .csv or .jsonl file")
    ] = None,
    output: Annotated[
        DiffOutput, typer.Option("--output", "-o", help="text, json, markdown or html: one page that needs no network")
    ] = DiffOutput.TEXT,
) -> None:
    """Compare two tables row by row and cell by cell.

    A run with main, a dartifact with production, or any two references or files. Exit code 2 when they differ.
    """
