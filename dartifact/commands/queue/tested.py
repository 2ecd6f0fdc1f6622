"""Whether `main` is tested: one answer for the queue, staging, the status and the pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.values import Event
from dartifact.domain.events import EventType

_TAKEN_IN = (EventType.MAIN_ADVANCED, EventType.MAIN_ADOPTED)
_NOT_TAKEN_IN = (EventType.MAIN_UNTESTED, EventType.MAIN_FOUND_UNTESTED, EventType.MAIN_HELD)


@dataclass(frozen=True, slots=True)
class MainState:
    """Whether a head of `main` is tested; true where it is.

    `commit` is None while `main` is empty; `since` is when the ledger learned of that head, None while it has not;
    `is_taken_in` says whether the runs in the ledger follow that head; `why` is empty for a tested one; `is_held`: it
    waits for a person to keep it or to restore what was tested.
    """

    is_tested: bool
    commit: str | None = None
    since: datetime | None = None
    is_taken_in: bool = False
    why: str = ""
    is_held: bool = False

    def __bool__(self) -> bool:
        """Say whether it is tested."""
        return self.is_tested


def is_main_tested(ledger: Ledger, head: Commit | None = None) -> MainState:
    """Say whether `main` is tested: the integration gate has passed exactly the content of its head.

    Without a `head` from the lake the answer is about the newest head that the ledger knows of, which costs the lake
    nothing: what somebody has merged by hand since counts once the queue has seen it.
    """
    known = _find_newest(ledger)
    if head is not None:
        if not head.parents:
            return MainState(True)
        commit, meta_range = head.commit_id, head.meta_range
    elif known is None:
        return MainState(True)
    else:
        commit, meta_range = known.payload["commit"], known.payload.get("meta_range", "")
    event = known if known is not None and known.payload["commit"] == commit else None
    is_tested = bool(meta_range) and ledger.has_green_report(meta_range)
    return MainState(
        is_tested,
        commit,
        event.at if event else None,
        event is not None and event.type in _TAKEN_IN,
        "" if is_tested else _explain(commit, event),
        not is_tested and event is not None and event.type == EventType.MAIN_HELD,
    )


def _find_newest(ledger: Ledger) -> Event | None:
    """Return the newest event that says where the head of `main` is."""
    found = [event for type in (*_TAKEN_IN, *_NOT_TAKEN_IN) for event in ledger.events(type=type, most=1)]
    return max(found, key=lambda event: event.sequence, default=None)


def _explain(commit: str, event: Event | None) -> str:
    if event is not None and event.type == EventType.MAIN_UNTESTED:
        return f"commit {commit[:12]} mixes a candidate with a merge by hand"
    if event is not None and event.type == EventType.MAIN_HELD:
        runs = event.payload["runs"]
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
        brings = f"{', '.join(runs[:3])}{more}"
        return f"commit {commit[:12]} was made by hand and brings {brings}: {event.payload['reasons'][0]}"
    return f"commit {commit[:12]} was made by hand"
