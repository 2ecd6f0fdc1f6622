"""Telling people at once what a gate has stopped: each target reads the events of the ledger by a cursor of its own.

There is no outbox: a message is what lies behind the cursor, and the cursor moves only after the target has taken it.
So nothing is lost, and a process that is killed between the two sends one message twice to a target.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.values import Event
from dartifact.adapters.notifier import describe_target
from dartifact.commands.leases import hold_lease
from dartifact.domain import errors
from dartifact.domain.events import EventType
from dartifact.domain.progress import Progress

BUDGET_SECONDS = 5.0
TEST_SECONDS = 20.0

_STOPS = (
    EventType.RUN_FAILED,
    EventType.RUN_HELD,
    EventType.MAIN_HELD,
    EventType.MAIN_REPAIRED,
    EventType.DARTIFACT_RED,
    EventType.PROMOTION_ABORTED,
    EventType.SLOT_ABANDONED,
    EventType.TRAFFIC_REFUSED,
    EventType.PRODUCTION_RECOVERED,
    EventType.PRODUCTION_LOST,
    EventType.WAIVER_EXPIRED,
    EventType.APPROVAL_NEEDED,
)
# The title of a stop and what to look at, from its details.
_TITLES = {
    EventType.MAIN_HELD: ("main is held: {commit:.12} was made by hand and failed its checks; decide", "status"),
    EventType.MAIN_REPAIRED: ("main was brought back to {tested:.12}: what was put there failed its checks", "status"),
    EventType.DARTIFACT_RED: ("dartifact {dartifact} is red at the staging gate", "show {dartifact}"),
    EventType.PROMOTION_ABORTED: (
        "the way of dartifact {dartifact} to production stopped before «{step}»",
        "show {dartifact}",
    ),
    EventType.TRAFFIC_REFUSED: ("dartifact {refused} failed at the traffic gate on slot {slot}", "show {refused}"),
    EventType.PRODUCTION_RECOVERED: ("production lost {leaves}; it shows {returns}, promotions are frozen", "status"),
    EventType.PRODUCTION_LOST: ("production cannot be shown again if it is lost; promotions are frozen", "doctor"),
    EventType.WAIVER_EXPIRED: ("the waiver of {check} has expired: the check stops runs again", "waivers"),
    EventType.APPROVAL_NEEDED: ("dartifact {dartifact} waits for {needed} approvals", "show {dartifact}"),
}
_ABANDONED = ("slot {slot} was abandoned before it served anybody", "status")
_EXPLANATION = EventType.DARTIFACT_BAD  # follows a SlotAbandoned of the smoke gate, in the same transaction
_SINGLY_AT_MOST = 10
_REASONS_AT_MOST = 10
_EVENTS_AT_MOST = 1000
_LEASE_SECONDS = 15.0
_POLL_SECONDS = 0.05


class Sender(Protocol):
    """What brings a message to a target; it may take its time."""

    def prepare(self) -> None:
        """Load what sending needs, so that it does not count as a target's time."""

    def send(self, url: str, title: str, body: str) -> str:
        """Return why the target did not take the message, or nothing."""


@dataclass(frozen=True, slots=True)
class Message:
    """What people are told; `sequence` is that of the last event it speaks of."""

    sequence: int
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one target: how many messages it took, and what kept it from taking more."""

    target: str
    sent: int
    problem: str = ""


@contextmanager
def told(ledger: Ledger, sender: Sender, urls: Sequence[str], progress: Progress) -> Iterator[None]:
    """Tell every target, after the block, what was stopped in it or before; never fails, and never for long.

    What a target did not take is kept in the ledger for the next time.
    """

    def tell() -> None:
        try:
            for each in deliver(ledger, sender, urls, budget_seconds=BUDGET_SECONDS):
                if each.problem:
                    progress(f"{each.target} not notified: {each.problem}; will retry")
        except errors.DartifactError as error:
            progress(f"nobody notified: {error.message}")

    if not urls:
        yield
        return
    try:
        # Before the work: a target that is new now is told what this work stops.
        start_targets(ledger, urls)
    except errors.DartifactError as error:
        progress(f"nobody notified: {error.message}")
    try:
        yield
    except errors.DartifactError:
        tell()
        raise
    tell()


def start_targets(ledger: Ledger, urls: Sequence[str]) -> None:
    """Let new targets begin with what happens from now on."""
    names = [cursor_name(url) for url in urls]
    missing = set(names) - set(ledger.cursors(names))
    if missing:
        with ledger.write() as tx:
            for name in sorted(missing):
                tx.cursors.start(name)


def deliver(ledger: Ledger, sender: Sender, urls: Sequence[str], *, budget_seconds: float) -> tuple[Delivery, ...]:
    """Send each target what lies behind its cursor, all targets at the same time; return what became of each.

    Returns after the budget at the latest; loading the sender is not counted. A target that has not answered by then
    goes on in the background, while the process lives. Targets with nothing to be told are left out.
    """
    if not urls:
        return ()
    start_targets(ledger, urls)
    cursors = ledger.cursors([cursor_name(url) for url in urls])
    waiting = [
        (number, url) for number, url in _number(urls) if ledger.events_after(cursors[cursor_name(url)], _STOPS, 1)
    ]
    if not waiting:
        return ()
    sender.prepare()
    deadline = time.monotonic() + budget_seconds
    return _ask_all(waiting, lambda url, job: _serve(ledger, sender, url, deadline, job), deadline)


def send_test(sender: Sender, urls: Sequence[str], *, budget_seconds: float = TEST_SECONDS) -> tuple[Delivery, ...]:
    """Send a test message to each target; UsageError when none is set."""
    if not urls:
        raise errors.UsageError("no notification target configured", hint="DARTIFACT_NOTIFY_URLS='[\"mailto://...\"]'")
    sender.prepare()
    title, body = "dartifact: a test", "This is what a message of dartifact looks like. Nothing was stopped."

    def send(url: str, job: _Job) -> None:
        job.problem = sender.send(url, title, body)
        job.sent = 0 if job.problem else 1

    return _ask_all(_number(urls), send, time.monotonic() + budget_seconds)


def cursor_name(url: str) -> str:
    """Return the name of a target's cursor: a digest, because the URL is a secret."""
    return f"notify-{hashlib.sha256(url.encode()).hexdigest()[:32]}"


def compose(events: Sequence[Event]) -> tuple[Message, ...]:
    """Write what people are told of these events, in order; one message for all when there are too many."""
    follows = {event.sequence - 1: event for event in events if event.type == _EXPLANATION}
    messages = [
        message for event in events if event.type in _STOPS and (message := _write(event, follows.get(event.sequence)))
    ]
    if len(messages) <= _SINGLY_AT_MOST:
        return tuple(messages)
    counts = Counter(event.type for event in events if event.type in _STOPS)
    shown = [f"- {message.title}" for message in messages[-_SINGLY_AT_MOST:]]
    body = [f"since {events[0].at:%Y-%m-%d %H:%M} UTC:", *(f"- {count} {type}" for type, count in counts.items())]
    body += ["the last of them:", *shown, "look: dartifact status, dartifact runs"]
    return (Message(messages[-1].sequence, f"{len(messages)} stops while you could not be notified", "\n".join(body)),)


def _write(event: Event, explanation: Event | None) -> Message | None:
    """Write the message of one stop; nothing when no gate has stopped it."""
    payload = event.payload
    reasons = payload.get("reasons") or [payload.get("reason", "")]
    words, place = _TITLES.get(EventType(event.type), _ABANDONED)
    told = {**dict.fromkeys(("slot", "step")), **payload, "dartifact": event.dartifact_id}
    title, look, branch = words.format_map(told), place.format_map(told), ""
    if event.type in (EventType.RUN_FAILED, EventType.RUN_HELD):
        if "gate" not in payload:  # given up for want of an answer: no gate was asked
            return None
        verb = "failed" if event.type == EventType.RUN_FAILED else "is held"
        title = f"{event.run_id} {verb} at the {payload['gate']} gate"
        look, branch = f"show {event.run_id}", payload.get("branch", "")
    elif event.type == EventType.SLOT_ABANDONED and explanation is not None:
        title = f"dartifact {explanation.dartifact_id} failed at the smoke gate on slot {payload.get('slot')}"
        look = f"show {explanation.dartifact_id}"
    lines = [f"branch: {branch}"] if branch else []
    known = [reason for reason in reasons if reason]
    lines += [f"- {reason}" for reason in known[:_REASONS_AT_MOST]]
    if len(known) > _REASONS_AT_MOST:
        lines.append(f"- and {len(known) - _REASONS_AT_MOST} more")
    return Message(event.sequence, title, "\n".join([*lines, f"look: dartifact {look}"]))


@dataclass(slots=True)
class _Job:
    """What a thread has achieved so far, read by the one who waits for it."""

    sent: int = 0
    problem: str = "timed out"


def _number(urls: Sequence[str]) -> list[tuple[int, str]]:
    return [(number, url) for number, url in enumerate(dict.fromkeys(urls), start=1)]


def _ask_all(
    targets: Sequence[tuple[int, str]], ask: Callable[[str, _Job], None], deadline: float
) -> tuple[Delivery, ...]:
    """Ask each target in a thread of its own, until the deadline; a silent one delays nobody, not even our end."""
    jobs = []
    for number, url in targets:
        job = _Job()
        thread = threading.Thread(target=ask, args=(url, job), name=describe_target(url, number), daemon=True)
        thread.start()
        jobs.append((thread, job))
    for thread, _ in jobs:
        thread.join(max(0.0, deadline - time.monotonic()))
    return tuple(Delivery(thread.name, job.sent, job.problem) for thread, job in jobs)


def _serve(ledger: Ledger, sender: Sender, url: str, deadline: float, job: _Job) -> None:
    """Send one target what it has not got, unless another process does so right now: then wait for that one."""
    name = cursor_name(url)
    while True:
        try:
            with hold_lease(ledger, name, seconds=_LEASE_SECONDS):
                problem = _send_pending(ledger, sender, url, deadline, job)
        except errors.Locked:
            if time.monotonic() > deadline:
                job.problem = "another process is telling it"
                return
            time.sleep(_POLL_SECONDS)
        except errors.DartifactError as error:
            job.problem = error.message
            return
        else:
            job.problem = problem
            return


def _send_pending(ledger: Ledger, sender: Sender, url: str, deadline: float, job: _Job) -> str:
    name = cursor_name(url)
    while True:
        cursor = ledger.cursors([name])[name]
        events = ledger.events_after(cursor, (*_STOPS, _EXPLANATION), _EVENTS_AT_MOST)
        messages = compose(events)
        if not messages:
            if events:
                with ledger.write() as tx:
                    tx.cursors.advance(name, events[-1].sequence)
            if len(events) < _EVENTS_AT_MOST:
                return ""
            continue
        if time.monotonic() > deadline:
            return "there was no time for all messages"
        problem = sender.send(url, messages[0].title, messages[0].body)
        if problem:
            return problem
        with ledger.write() as tx:
            tx.cursors.advance(name, messages[0].sequence)
        job.sent += 1
