"""The bond of lake and ledger: both carry one id, and the ledger knows what the lake shows, or nothing is written.

A ledger that is new, another one or older than its lake would take what it does not know for strange, and remove it.
"""

from __future__ import annotations

from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION, Lake
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.production.publication import PUBLISHED_FENCE
from dartifact.commands.stack import Stack
from dartifact.domain.errors import ForeignLedger
from dartifact.domain.hints import Command
from dartifact.domain.queue import HEAD_FENCE

_FENCES = ((MAIN, HEAD_FENCE), (PRODUCTION, PUBLISHED_FENCE))


def hold_bond(stack: Stack) -> None:
    """Bind a lake that has no ledger yet to this one; refuse every write of a stack whose two do not fit together.

    Reads go on. To be called once the repository is there.
    """
    broken = find_break(stack)
    if broken:
        hint = ("restore the ledger from its backup, or ", Command("adopt"), ", or set DARTIFACT_REPOSITORY to another")
        why = ForeignLedger(f"{broken}; nothing was changed", hint=hint)
        stack.ledger.refuse_writes(why)
        stack.lake.refuse_writes(why)
        return
    if not stack.lake.read_ledger_id():
        stack.lake.write_ledger_id(stack.ledger.ledger_id)
    if not stack.ledger.is_bound:
        stack.ledger.bind()


def require_bound(stack: Stack) -> None:
    """Refuse every write of a stack without a lake whose ledger has never met one: it may be a new one by accident."""
    if not stack.ledger.is_bound:
        hint = (Command("status"), " with the lake running, or set DARTIFACT_LEDGER_URL to the ledger of your lake")
        why = ForeignLedger("this ledger is new and has not met its lake yet", hint=hint)
        stack.ledger.refuse_writes(why, until_bound=True)


def find_break(stack: Stack) -> str:
    """Return why the ledger and the lake of a stack do not fit together, empty where they do."""
    return find_break_of(stack.lake, stack.ledger)


def find_break_of(lake: Lake, ledger: Ledger) -> str:
    """Return why a ledger and a lake do not fit together, empty where they do."""
    of_lake, own = lake.read_ledger_id(), ledger.ledger_id
    if of_lake and of_lake != own:
        return (
            f"the lake {lake.repository} belongs to the ledger {of_lake[:12]}, and this ledger is {own[:12]}: "
            "it is new, or that of another lake"
        )
    for branch, path in _FENCES:
        fence = lake.read_json(lake.head(branch).commit_id, path)
        if fence and not ledger.has_operation(fence["operation"]):
            return (
                f"{branch} of the lake {lake.repository} shows operation {fence['operation']}, which this ledger "
                "does not know: the ledger is new, or was restored from an older copy"
            )
    return ""
