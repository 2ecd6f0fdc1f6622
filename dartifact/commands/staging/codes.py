"""Codes: which `dbt/` and `checks/` a stage builds with. What is refused is stood in for by the last good one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.values import Event
from dartifact.adapters.transform.project_code import unpack_code
from dartifact.commands.stack import Stack
from dartifact.domain.dartifacts import PASSED, Blame, BlameKind, Dartifact
from dartifact.domain.events import EventType

CODE_TAR = "_dartifact/code.tar"
_CHANGES = 1000  # of the code, the newest


@dataclass
class LastGood:
    """The newest dartifact that staging passed and whose code is not refused; its code, opened when it is needed."""

    stack: Stack
    dartifact: Dartifact
    _owned: ExitStack
    _code: Stack | None = field(default=None)

    def open_code(self) -> Stack:
        """Return the stack with the project and the dbt of that code: unpacked in the home, verified."""
        if self._code is None:
            digest, home = self.dartifact.code_digest, self.stack.home
            packed = self.stack.lake.read_bytes(self.dartifact.commit or "", CODE_TAR)
            project = unpack_code(packed, digest, home / "code")
            dbt = self._owned.enter_context(self.stack.dbt.of_project(project / "dbt", home / "dbt-last-good"))
            self._code = replace(self.stack, project=project, dbt=dbt)
        return self._code


@contextmanager
def last_good(stack: Stack) -> Iterator[LastGood | None]:
    """Yield the last good dartifact, None where there is none."""
    found = find_last_good(stack.ledger)
    with ExitStack() as owned:
        yield LastGood(stack, found, owned) if found else None


def find_last_good(ledger: Ledger) -> Dartifact | None:
    """Return the newest dartifact that staging passed and whose code is not refused."""
    blames = frozenset(ledger.blames())
    passed = ledger.dartifacts(states=PASSED)
    return next((each for each in passed if Blame(BlameKind.CODE, each.code_digest) not in blames), None)


def find_line_code(ledger: Ledger) -> Event | None:
    """Return how staging went over to the code that the line is built with; None before the first, and if refused."""
    blames = frozenset(ledger.blames())
    changes = reversed(ledger.events(type=EventType.CODE_CHANGED, most=_CHANGES))
    return next((each for each in changes if Blame(BlameKind.CODE, each.payload["code"]) not in blames), None)


def find_overtaken(ledger: Ledger, digest: str) -> str | None:
    """Say why a code must not be staged by itself: the line has left it for another one. None when it may be.

    A code that the line has never had is new: whoever deployed it meant it. One that comes back is a checkout that
    nobody has brought up to date, and two of them would take production to and fro for ever.
    """
    line = find_line_code(ledger)
    if line is None or line.payload["code"] == digest or Blame(BlameKind.CODE, digest) in ledger.blames():
        return None  # for a code that is refused the last good one stands in
    known = {each.payload["code"] for each in ledger.events(type=EventType.CODE_CHANGED, most=_CHANGES)}
    if digest not in known:
        return None
    return (
        f"this checkout has the code {digest[:12]}, and the line went over to {line.payload['code'][:12]} "
        f"on {line.at:%Y-%m-%d at %H:%M} UTC ({line.actor}, {line.place or 'place unknown'})"
    )


def record_code(ledger: Ledger, digest: str, actor: str) -> None:
    """Write down that the line is built with a code from now on; nothing when it is already."""
    line = find_line_code(ledger)
    if line is None or line.payload["code"] != digest:
        with ledger.write() as tx:
            tx.append(EventType.CODE_CHANGED, actor, code=digest, was=line.payload["code"] if line else None)


def find_refusal(ledger: Ledger, digest: str) -> str | None:
    """Say why a code is refused, by staging or by a rollback; None when it is not."""
    if Blame(BlameKind.CODE, digest) not in ledger.blames():
        return None
    told = [each for each in ledger.events(type=EventType.CODE_REFUSED, most=1000) if each.payload["code"] == digest]
    blamed = [
        each
        for each in ledger.events(type=EventType.BLAME_RECORDED, most=1000)
        if (each.payload["kind"], each.payload["value"]) == (BlameKind.CODE, digest)
    ]
    last = max((*told, *blamed), key=lambda event: event.sequence, default=None)
    return _explain(ledger, last) if last else "it is blamed"


def _explain(ledger: Ledger, event: Event) -> str:
    if event.type == EventType.CODE_REFUSED:
        return str(event.payload["why"])
    reasons = ledger.dartifact(event.dartifact_id).reasons if event.dartifact_id else ()
    return f"rolled back: {'; '.join(reasons) or 'no reason given'}"
