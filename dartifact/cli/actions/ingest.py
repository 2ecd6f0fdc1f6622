"""The verbs that read a source: `ingest` and `backfill`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dartifact.cli.frame import answer, end_by_phase, print_progress
from dartifact.cli.options import Output
from dartifact.cli.simulated import find_stand_in
from dartifact.cli.text.runs import format_chunk, format_ingested
from dartifact.commands.ingest import backfill as backfills
from dartifact.commands.ingest import ingest as ingests
from dartifact.commands.stack import Stack
from dartifact.documents.runs import describe_run
from dartifact.domain.runs import Run
from dartifact.domain.sources import Source, SourceAccess
from dartifact.domain.times import read_time
from dartifact.project import load_source
from dartifact.settings import Settings, read_settings
from dartifact.wiring import open_source, open_stack, telling


def ingest(source: str, ingestor: str, output: Output) -> None:
    """Ingest the next window of a source by one of its ingestors."""
    settings = read_settings()
    module = load_source(source, settings.project)
    chosen, *_ = _choose_ingestors(module.SOURCE, ingestor)
    with _opened_with_source(settings, source) as (stack, access):
        extractor = module.extract(access)
        actor = f"ingestor:{chosen}"
        runs = ingests.ingest(stack, module.SOURCE, extractor, chosen, actor=actor, progress=print_progress)
    _answer_runs(runs, output)


def backfill(source: str, lo: str, to: str, ingestor: str, output: Output) -> None:
    """Ingest an interval of a source again."""
    first, last = read_time(lo), read_time(to)
    settings = read_settings()
    module = load_source(source, settings.project)
    chosen = _choose_ingestors(module.SOURCE, ingestor)
    with _opened_with_source(settings, source) as (stack, access):
        extractor = module.extract(access)
        actor = settings.person
        runs = backfills.backfill(stack, module.SOURCE, extractor, chosen, first, last, actor=actor, show=_print_chunk)
    _answer_runs(runs, output)


def _choose_ingestors(source: Source, ingestor: str) -> list[str]:
    if not ingestor:
        return [known.name for known in source.ingestors]
    source.require_ingestor(ingestor)
    return [ingestor]


@contextmanager
def _opened_with_source(settings: Settings, source: str) -> Iterator[tuple[Stack, SourceAccess]]:
    with (
        open_stack(settings, print_progress) as stack,
        open_source(settings, source, find_stand_in(settings.home)) as access,
        telling(settings, stack, print_progress),
    ):
        yield stack, access


def _print_chunk(run: Run) -> None:
    print_progress(format_chunk(run))


def _answer_runs(runs: Sequence[Run], output: Output) -> None:
    answer([describe_run(run) for run in runs], output, lambda: format_ingested(runs))
    end_by_phase(runs)
