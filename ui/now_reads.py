"""What the page Now shows, as one document: all of it is read from the ledger."""

from __future__ import annotations

from dartifact.commands.production.approvals import count_needed, find_approvals
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.stops import LINE
from dartifact.domain.dartifacts import WAITING
from dartifact.domain.runs import UNFINISHED, Phase
from ui import reads
from ui.documents import NowDocument, StripRun, UnapprovedDocument
from ui.stack import open_ledger, open_ledger_stack, read_sources

STRIP = 30


def read_now() -> NowDocument:
    """Return what a wall shows: what runs, what waits, what failed, `main`, staging, production, each ingestor."""
    ledger = open_ledger()
    stopped = ledger.runs(phases=(Phase.FAILED, Phase.HELD), most=20)
    main = is_main_tested(ledger)
    pointer = ledger.pointer()
    newest = next(iter(ledger.dartifacts(most=1)), None)
    names = [ingestor.name for source in read_sources().values() for ingestor in source.ingestors]
    return {
        "paused": [
            f"{'everything' if stop.name == LINE else stop.name} is paused: {stop.reason}" for stop in ledger.stops()
        ],
        "running": reads.describe_runs(ledger.runs(phases=UNFINISHED, most=20)),
        "queue": len(ledger.runs(phases=(Phase.QUEUED,))) + len(ledger.pending_reverts()),
        "stopped": reads.describe_runs(stopped),
        "counts": reads.count_phases(),
        "main": {"at": main.since.isoformat() if main.since else None, "tested": main.is_tested, "why": main.why},
        "staging": reads.show_dartifact(newest) if newest else None,
        "production": reads.read_production(),
        "data_of": ledger.dartifact(pointer.live).created_at.isoformat() if pointer.live else None,
        "under_way": reads.read_under_way(),
        "gaps": reads.list_gaps(),
        "unapproved": _list_unapproved(),
        "strips": {name: _list_strip(name) for name in names},
    }


def _list_unapproved() -> list[UnapprovedDocument]:
    """Return the dartifacts that wait for approvals, the newest first, with how many each has."""
    stack = open_ledger_stack()
    live = stack.ledger.pointer().live
    waiting = [found for found in stack.ledger.dartifacts(states=WAITING) if found.dartifact_id != live]
    counted = [(found, len(find_approvals(stack, found)), count_needed(stack, found)) for found in waiting]
    return [
        {"dartifact": found.dartifact_id, "given": given, "needed": needed}
        for found, given, needed in counted
        if given < needed
    ]


def _list_strip(ingestor: str) -> list[StripRun]:
    return [
        {"run": run.run_id, "phase": run.phase.value, "rows": run.rows, "hi": run.window.hi.isoformat()}
        for run in reversed(open_ledger().runs(ingestor=ingestor, most=STRIP))
    ]
