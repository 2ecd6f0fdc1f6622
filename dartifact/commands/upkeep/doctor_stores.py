"""What the doctor says of ledger and lake: both are opened for reading only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.adapters.lakefs.examination import LakeExamination
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.transform.project_code import digest_code
from dartifact.commands.bond import find_break_of
from dartifact.commands.staging.codes import find_line_code, find_overtaken
from dartifact.commands.stops import LINE
from dartifact.commands.upkeep.findings import Unwell
from dartifact.domain.errors import DartifactError, NotFound
from dartifact.domain.hints import Command
from dartifact.domain.runs import UNFINISHED, Phase, Run

_STILL = timedelta(hours=1)
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class LedgerLook:
    """A ledger that is there, or why there is none that can be read."""

    url: str
    ledger: Ledger | None
    fault: DartifactError | None

    @property
    def is_new(self) -> bool:
        """Say whether nobody has made this ledger yet."""
        return isinstance(self.fault, NotFound)

    def describe(self) -> str:
        """Say how the ledger is; raises what is wrong with it. What people have stopped is no fault."""
        if self.ledger is None:
            assert self.fault is not None
            if self.is_new:
                return f"{self.fault.message}; the first command makes one"
            raise self.fault
        pointer, intents = self.ledger.pointer(), self.ledger.open_intents()
        if intents:
            oldest = f"{intents[0].kind} {intents[0].operation}"
            raise Unwell(
                f"{len(intents)} operations were left open, the oldest is {oldest}",
                hint=(Command("integrate"), ", which finishes or drops them"),
            )
        stopped = [f"promotions are frozen: {pointer.frozen}"] if pointer.frozen else []
        stopped += [f"{stop.name} is paused by {stop.actor}: {stop.reason}" for stop in self.ledger.stops()]
        told = f"{self.url.partition(':')[0].partition('+')[0]}, generation {pointer.generation}"
        return "; ".join([told, *stopped])


@contextmanager
def opened_ledger(url: str) -> Iterator[LedgerLook]:
    """Open a ledger for reading, if it is there and can be."""
    try:
        ledger = Ledger(url, only_reads=True)
    except DartifactError as error:
        yield LedgerLook(url, None, error)
        return
    try:
        yield LedgerLook(url, ledger, None)
    finally:
        ledger.close()


def look_at_events(ledger: Ledger) -> str:
    """Say how many events there are; raises Unwell where one is not as it was written."""
    broken = ledger.find_broken_event()
    if broken is not None:
        raise Unwell(
            f"event {broken} is not what was written, or one before it is missing",
            hint="compare with a backup or an export: somebody has changed the ledger",
        )
    return f"all {ledger.last_event():,} events are as they were written"


def look_at_runs(ledger: Ledger, now: datetime) -> str:
    """Say how many runs are on their way; raises Unwell for those that nobody moves on and nobody has stopped."""
    under_way = ledger.runs(phases=(*UNFINISHED, Phase.QUEUED))
    stopped = {stop.name for stop in ledger.stops()}
    # What waits for an earlier run says so; what people have paused is theirs.
    left = [run for run in under_way if not run.reasons and not stopped & {LINE, run.ingestor}]
    still = [(moved, run) for run in left if now - (moved := _last_moved(ledger, run)) > _STILL]
    if still:
        since, oldest = min(still, key=lambda each: each[0])
        raise Unwell(
            f"{len(still)} runs have not moved for more than an hour; {oldest.run_id} is {oldest.phase} "
            f"since {since:%Y-%m-%d %H:%M} UTC",
            hint=(Command("integrate"), " and ", Command("ingest", "SOURCE"), " say why"),
        )
    tried = [run for run in under_way if run.attempts]
    if tried:
        names = ", ".join(run.run_id for run in tried[:_SHOWN])
        why = next(iter(tried[0].reasons), "no reason given")
        raise Unwell(f"attempts of {names} have failed: {why}", hint=Command("show", tried[0].run_id))
    return f"{len(under_way)} are on their way"


def look_at_code(ledger: Ledger, project: Path) -> str:
    """Say which code this checkout has; raises Unwell where the line has left it for another one."""
    digest, line = digest_code(project), find_line_code(ledger)
    if why := find_overtaken(ledger, digest):
        raise Unwell(why, hint=("bring this checkout up to date, or ", Command("stage", "--code")))
    if line is None or line.payload["code"] == digest:
        return f"this checkout has the code {digest[:12]}{', as the line' if line else ''}"
    return f"this checkout has the new code {digest[:12]}; the line has {line.payload['code'][:12]} until it is staged"


def look_at_lake(access: LakeAccess, repository: str, namespace: str | None, look: LedgerLook) -> str:
    """Say how the repository is, or that it can be made; raises Unwell for what no next command mends by itself."""
    examination = LakeExamination(access, repository)
    where = "this machine" if access.url.startswith("http://127.0.0.1") else access.url
    if not examination.has_repository():
        if fault := examination.find_namespace_fault(namespace):
            raise Unwell(f"there is no repository {repository} on {where} yet, and {fault}",
                         hint="set DARTIFACT_STORAGE_NAMESPACE")  # fmt: skip
        return f"no repository {repository} on {where} yet; the first command makes it"
    if missing := examination.list_missing_branches():
        raise Unwell(f"branch {missing[0]} is not there", hint=(Command("status"), ", which makes it"))
    if unprotected := examination.list_unprotected():
        raise Unwell(f"branch {unprotected[0]} is not protected", hint=(Command("status"), ", which sets the rules"))
    if broken := _find_break(examination, look):
        raise Unwell(broken, hint=("restore the ledger from its backup, or ", Command("adopt")))
    return f"repository {repository} on {where}; main, env-staging and production are protected"


def _last_moved(ledger: Ledger, run: Run) -> datetime:
    events = ledger.events(run_id=run.run_id, most=1)
    return events[-1].at if events else run.created_at


def _find_break(examination: LakeExamination, look: LedgerLook) -> str:
    if look.ledger is not None:
        return find_break_of(examination.lake, look.ledger)
    owner = examination.lake.read_ledger_id()
    if owner and look.is_new:
        return f"the lake {examination.lake.repository} belongs to the ledger {owner[:12]}, and there is none"
    return ""
