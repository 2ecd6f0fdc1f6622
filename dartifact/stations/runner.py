"""How a flow does what a command does: steps as Prefect tasks, a state and an artifact at its end, the next station."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

import httpx
from prefect import Flow, flow, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectException
from prefect.states import Completed, Failed

from dartifact.commands.ingest.extraction import Extractor
from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.stack import Stack
from dartifact.domain import errors
from dartifact.domain.checks import Outcome
from dartifact.domain.marks import Reveal
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import Source, SourceAccess
from dartifact.settings import read_settings
from dartifact.wiring import choose_reveal, open_source, open_stack

T = TypeVar("T")
P = ParamSpec("P")
Ended = State[None]

CHECKS_FAILED = "Checks failed"
_SHOWN_CHECKS = 20
_GATE_SECONDS = 1800.0  # what an ingest may take beside reading its window
_UNENDED = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
_SOON = timedelta(seconds=10)  # a run due by then is as good as one started now
_ENDING = timedelta(seconds=3)  # how long a flow run takes from its last look to its last state
# What Prefect raises when it does not answer, or answers no.
_PREFECT_FAULTS = (httpx.HTTPError, PrefectException)


def run_as_task(name: str, step: Callable[[], T], /) -> T:
    """Run one step as a Prefect task of that name."""
    return task(name=name, task_run_name=name, persist_result=False)(step)()


def say(line: str) -> None:
    """Print progress to the flow's log stream."""
    print(_reveal()(line), file=sys.stderr)


def ends_in_words(work: Callable[P, Ended]) -> Callable[P, Ended]:
    """Let a flow end in a state whose message is one line that names the fault; a bug keeps its traceback.

    A gate's red is Failed with the name `Checks failed`. What somebody else is doing, or what policy forbids, is no
    fault of this run: the schedule comes again.
    """

    def translated(*args: P.args, **kwargs: P.kwargs) -> Ended:
        try:
            return work(*args, **kwargs)
        except OSError as error:
            if error.errno is None:
                raise  # a library's own error that only bears this type: a bug keeps its traceback
            raise errors.describe_machine(error) from error

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> Ended:
        try:
            return translated(*args, **kwargs)
        except errors.ChecksFailed as error:
            return Failed(name=CHECKS_FAILED, message=_put(error, hint=False))
        except errors.Conflict as error:
            return Completed(name="Skipped", message=_put(error, hint=False))
        except (errors.ForeignLedger, errors.MainHeld) as error:
            return Failed(name="Held", message=_put(error))
        except errors.PolicyRefused as error:
            return Completed(name="Not allowed", message=_put(error))
        except errors.DartifactError as error:
            return Failed(message=_put(error))

    return run


def start_station(name: str) -> None:
    """Start a station and go on; when Prefect does not answer, the station's schedule does it later.

    One that waits to start will see the work by itself. Beside one that is at work the new run comes a moment later: a
    station that has looked for the last time and is still ending would let Prefect cancel it (`CANCEL_NEW`).
    """
    if not runtime.deployment.id:
        return  # a flow that was called as a function is alone
    try:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(
                deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])),
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNENDED))),
            )
        now = datetime.now(UTC)
        if any(
            each.state_type is StateType.SCHEDULED and (each.expected_start_time or now) <= now + _SOON for each in runs
        ):
            return
        is_at_work = any(each.state_type is not StateType.SCHEDULED for each in runs)
        when = now + _ENDING if is_at_work else now
        run_deployment(f"{name}/{name}", timeout=0, as_subflow=False, scheduled_time=when)
    except _PREFECT_FAULTS as error:
        say(f"{name} could not be started ({type(error).__name__}): its schedule will")


def leave_artifact(key: str, title: str, lines: Sequence[str]) -> None:
    """Attach what happened to the flow run, as Markdown; without Prefect nothing is lost, the ledger has it all."""
    title = _reveal()(title)
    text = "\n".join([f"# {title}", "", *(f"- {_reveal()(line)}" for line in lines)])
    try:
        create_markdown_artifact(text, key=re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-"), description=title)
    except _PREFECT_FAULTS as error:
        say(f"the artifact could not be kept ({type(error).__name__})")


def ingest_flow(source: Source, extract: Callable[[SourceAccess], Extractor]) -> Flow[[str], Ended]:
    """Return the flow that ingests a source; each deployment of it names an ingestor, by default the first.

    `extract` is given how to reach the source and returns what reads it.
    """
    first = source.ingestors[0].name

    name, ends = f"ingest {source.name}", source.deadline.total_seconds() + _GATE_SECONDS

    @flow(name=name, flow_run_name=f"{source.name}-{{ingestor}}", log_prints=True, timeout_seconds=ends)
    @ends_in_words
    def ingest_source(ingestor: str = first) -> Ended:
        return run_ingest(source, extract, ingestor)

    ingest_source.__doc__ = f"Bring the next window of {source.name} to the merge queue."
    return ingest_source


def run_ingest(source: Source, extract: Callable[[SourceAccess], Extractor], ingestor: str) -> Ended:
    """Run one pass of an ingestor inside a flow, and start `integrate` for what is queued."""
    source.require_ingestor(ingestor)
    settings = read_settings()
    with open_source(settings, source.name) as access, open_stack(settings, say) as stack:
        runs = ingest(
            stack, source, extract(access), ingestor, actor=f"ingestor:{ingestor}", runner=run_as_task, progress=say
        )
        for each in runs:
            leave_artifact(each.run_id, f"{each.run_id}: {each.phase}", describe_run(stack, each))
    if any(each.phase is Phase.QUEUED for each in runs):
        start_station("integrate")
    for each in runs:
        if each.phase is Phase.FAILED:
            raise errors.ChecksFailed(f"{each.branch}: {'; '.join(each.reasons)}")
        if each.phase is Phase.HELD:
            return Failed(name="Held", message=_reveal()(f"{each.branch}: {'; '.join(each.reasons)}"))
    if not runs:
        return Completed(message="no new data since the last run")
    brought = [f"{each.run_id}: {each.phase}, {each.rows or 0:,} rows" for each in runs]
    if backlog := runs[-1].window.backlog:
        brought.append(f"{backlog} of the source wait for the next windows")
    return Completed(message=", ".join(brought))


def describe_run(stack: Stack, run: Run) -> list[str]:
    """Return Markdown lines on a run: its branch, the verdict, failing checks, how to look."""
    where = f"{stack.lake.access.url}/repositories/{stack.lake.repository}/objects?ref={run.branch}"
    report = stack.ledger.report(run.report) if run.report else None
    failing = [each for each in report.results if each.outcome is not Outcome.PASSED] if report else []
    return [
        f"branch [`{run.branch}`]({where}), {run.rows or 0:,} rows, window {run.window.lo} to {run.window.hi}",
        f"verdict: **{run.phase}**" + (f" at the {run.gate} gate" if run.gate else ""),
        *(f"why: {reason}" for reason in run.reasons),
        *(f"`{each.check}` {each.outcome}: {each.message}" for each in failing[:_SHOWN_CHECKS]),
        f"look: `dartifact show {run.run_id}`",
    ]


def _put(error: errors.DartifactError, *, hint: bool = True) -> str:
    line = _reveal()(error.message.partition("\n")[0])
    return f"{line} (try: {error.hint})" if error.hint and hint else line


@functools.cache
def _reveal() -> Reveal:
    return choose_reveal(read_settings())
