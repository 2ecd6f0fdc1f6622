"""Choice: which dartifact may be promoted next, and by which plan."""

from __future__ import annotations

from dartifact.commands.production.approvals import refuse_unapproved
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.stack import Stack
from dartifact.domain import errors, plans
from dartifact.domain.dartifacts import WAITING, Dartifact, find_blamed
from dartifact.domain.hints import Command
from dartifact.domain.plans import LivePointer, Plan


def choose_promotion(stack: Stack, dartifact: str | None = None) -> Dartifact | None:
    """Choose what would be promoted: the named dartifact, else the newest green one; None when nothing waits.

    Raises PolicyRefused while promotions are frozen or the dartifact contains what a rollback blamed, MainHeld while
    `main` is held.
    """
    pointer = stack.ledger.pointer()
    if pointer.frozen:
        raise errors.PolicyRefused(f"promotions are frozen: {pointer.frozen}", hint=Command("unfreeze", "--reason WHY"))
    main = is_main_tested(stack.ledger)
    if main.is_held:
        raise errors.MainHeld(f"promotions wait while main is held: {main.why}", hint=Command("status"))
    chosen = _find_newest(stack) if dartifact is None else _find_named(stack, dartifact)
    if chosen is None or chosen.dartifact_id == pointer.live:
        return None
    blamed = find_blamed(chosen, stack.ledger.blames())
    if blamed:
        message = f"dartifact {chosen.dartifact_id} contains what was rolled back: {blamed[0]}"
        raise errors.PolicyRefused(message, hint=(Command("integrate"), ", then ", Command("stage")))
    refuse_unapproved(stack, chosen)
    return chosen


def _find_named(stack: Stack, name: str) -> Dartifact:
    found = stack.ledger.dartifact(name)
    if found.state not in WAITING:
        raise errors.IllegalTransition(f"dartifact {name} is {found.state}, not green", hint=Command("status"))
    return found


def _find_newest(stack: Stack) -> Dartifact | None:
    """Return the newest waiting dartifact that has its approvals, else the newest one."""
    waiting = stack.ledger.dartifacts(states=WAITING, most=None if stack.policy.approvals else 1)
    for dartifact in waiting:
        try:
            refuse_unapproved(stack, dartifact)
        except errors.PolicyRefused:
            continue
        return dartifact
    return next(iter(waiting), None)


def plan_promotion(stack: Stack, pointer: LivePointer, dartifact: str, plan_id: str) -> Plan:
    """Plan the promotion of a dartifact as the policy says."""
    weights, soak = stack.policy.weights, stack.policy.soak.total_seconds()
    return plans.plan_promotion(pointer, dartifact, plan_id=plan_id, weights=weights, soak=soak)
