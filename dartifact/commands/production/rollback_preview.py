"""What a rollback would do: what comes back, which runs leave, what is blamed. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dartifact.commands.production.under_way import find_under_way
from dartifact.commands.stack import Stack, new_operation
from dartifact.domain import errors, plans
from dartifact.domain.dartifacts import Blame, BlameKind, Cause, Dartifact, DartifactState, find_blamed
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.plans import LivePointer, Plan, PlanKind, StepKind
from dartifact.domain.runs import Phase

UNKNOWN = Cause(unknown=True)
# What served and may serve again; approved, where `main` came back to its content (`stage`).
_RETURNS = (DartifactState.SUPERSEDED, DartifactState.APPROVED)


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a rollback would do or has done.

    `runs_out` are the runs that production no longer shows; `reverts` those of them that also leave `main`; `marts`
    names each mart with its rows now and then. `published` is False while the lake has not followed the pointer yet.
    """

    plan: Plan
    leaves: str
    returns: str
    commit: str | None
    warm: bool
    data_of: str | None
    runs_out: tuple[str, ...]
    reverts: tuple[str, ...]
    blames: tuple[Blame, ...]
    freezes: bool
    marts: dict[str, Any] = field(default_factory=dict)
    published: bool = False
    note: str = ""


def preview_rollback(stack: Stack, to: str | None = None, cause: Cause = UNKNOWN) -> Rollback:
    """Say what `roll_back` with the same arguments would do. Needs the ledger only.

    Without `to`, the dartifact that served last and is free of the blame comes back. Raises UsageError when there is
    none.
    """
    return decide_rollback(stack, stack.ledger.pointer(), to, cause)


def decide_rollback(stack: Stack, pointer: LivePointer, to: str | None, cause: Cause) -> Rollback:
    """Say what a rollback would do while the live pointer stands so; raises as `preview_rollback`."""
    live = _find_live(stack, pointer)
    named, earlier = _blame_named(live, cause), stack.ledger.blames()
    target = _choose_target(stack, live, to, (*named, *earlier))
    out = tuple(sorted(set(live.runs) - set(target.runs)))
    blames = (*named, *(Blame(BlameKind.RUN, run_id) for run_id in out)) if cause.every_run else named
    guilty = find_blamed(target, (*blames, *earlier))
    if guilty:
        raise errors.PolicyRefused(f"dartifact {target.dartifact_id} contains what is blamed: {guilty[0]}")
    plan = plans.plan_rollback(pointer, target.dartifact_id, plan_id=new_operation())
    warm = plan.steps[0].kind is StepKind.SETTLE
    return Rollback(
        plan=plan,
        leaves=live.dartifact_id,
        returns=target.dartifact_id,
        commit=pointer.slots[plan.slot].commit if warm else None,
        warm=warm,
        data_of=(target.passport or {}).get("built_at"),
        runs_out=out,
        reverts=_find_reverts(stack, blames),
        blames=blames,
        freezes=cause.unknown or not blames,
        marts=_compare_marts(live, target),
        note=_note_promotion(stack, pointer),
    )


def _find_live(stack: Stack, pointer: LivePointer) -> Dartifact:
    if pointer.live is None or pointer.active is None:
        raise errors.UsageError("nothing is live, so nothing can be rolled back", hint=Command("promote"))
    return stack.ledger.dartifact(pointer.live)


def _blame_named(live: Dartifact, cause: Cause) -> tuple[Blame, ...]:
    """Return the blames that do not depend on what comes back; UsageError for a run that production does not show."""
    for run_id in cause.runs:
        if run_id not in live.runs:
            raise errors.UsageError(f"{run_id} is not in production, so it cannot be blamed", hint=Command("runs"))
    code = (Blame(BlameKind.CODE, live.code_digest),) if cause.code else ()
    return (*(Blame(BlameKind.RUN, run_id) for run_id in cause.runs), *code)


def _find_reverts(stack: Stack, blames: tuple[Blame, ...]) -> tuple[str, ...]:
    """Return the blamed runs that are in `main`."""
    blamed = [blame.value for blame in blames if blame.kind is BlameKind.RUN]
    in_main = {run.run_id for run in stack.ledger.runs(names=blamed, phases=(Phase.MERGED, Phase.LIVE))}
    return tuple(run_id for run_id in blamed if run_id in in_main)


def _compare_marts(live: Dartifact, target: Dartifact) -> dict[str, Any]:
    now, then = ((dartifact.passport or {}).get("marts", {}) for dartifact in (live, target))
    return {
        mart: {"rows_now": now.get(mart, {}).get("rows"), "rows_then": figures["rows"]}
        for mart, figures in then.items()
    }


def _note_promotion(stack: Stack, pointer: LivePointer) -> str:
    # A person who sees the new slot fail may mean that one.
    found = find_under_way(stack)
    if found is None or found.plan.plan_id != pointer.plan or found.plan.kind is not PlanKind.PROMOTION:
        return ""
    return f"the promotion of {found.plan.dartifact} ends, too; to end only that: dartifact abort --reason WHY"


def _choose_target(stack: Stack, live: Dartifact, to: str | None, blames: tuple[Blame, ...]) -> Dartifact:
    # What served is in the events of settling, newest first; what was found bad since never comes back.
    served: list[str] = []
    for event in reversed(stack.ledger.events(type=EventType.DARTIFACT_LIVE, most=1000)):
        if event.dartifact_id and event.dartifact_id not in served:
            served.append(event.dartifact_id)
    if to is not None:
        if to not in served or to == live.dartifact_id:
            message = f"dartifact {to} " + ("is live" if to == live.dartifact_id else "never served")
            raise errors.UsageError(message, hint=Command("status"))
        target = stack.ledger.dartifact(to)
        if target.state not in _RETURNS:
            raise errors.PolicyRefused(f"dartifact {to} is {target.state}", hint=Command("status"))
        return target
    for name in served:
        target = stack.ledger.dartifact(name)
        if name != live.dartifact_id and target.state in _RETURNS and not find_blamed(target, blames):
            return target
    raise errors.UsageError("no dartifact that served before is free of the blame", hint=Command("status"))
