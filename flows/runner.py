"""How a flow runs the named steps of a command: as Prefect tasks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from prefect import task

from flows.commands.ingest import Extractor, ingest
from flows.domain.errors import ChecksFailed
from flows.domain.runs import Phase
from flows.domain.sources import Source
from flows.settings import read_settings
from flows.wiring import open_source_url, open_stack

T = TypeVar("T")


def run_as_task(name: str, step: Callable[[], T], /) -> T:
    """Run one step as a Prefect task of that name."""
    return task(name=name, task_run_name=name, persist_result=False)(step)()


def say(line: str) -> None:
    """Print progress to the flow's log stream."""
    print(line, file=sys.stderr)


def run_ingest(source: Source, extract: Callable[[str], Extractor], ingestor: str) -> None:
    """Run one pass of an ingestor inside a flow; ChecksFailed when a gate stopped a run."""
    settings = read_settings()
    with open_source_url(settings, source.name, say) as url, open_stack(settings, say) as stack:
        runs = ingest(stack, source, extract(url), ingestor, actor=f"ingestor:{ingestor}", run=run_as_task)
    stopped = [each for each in runs if each.phase is Phase.FAILED]
    if stopped:
        raise ChecksFailed(f"{stopped[0].branch}: {'; '.join(stopped[0].reasons)}")
