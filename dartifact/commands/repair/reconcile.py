"""Housekeeping: finish or drop what a killed process left, bring branches in line with the live pointer."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.adapters.ledger.values import Intent
from dartifact.commands.gates.failing_rows import EVIDENCE
from dartifact.commands.gates.waivers import expire_waivers
from dartifact.commands.leases import is_held
from dartifact.commands.production.publication import PUBLISHED_FENCE, finish_publication, publish
from dartifact.commands.queue.candidates import finish_advance
from dartifact.commands.repair import recovery
from dartifact.commands.stack import Stack
from dartifact.domain import errors, plans
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.runs import Phase

_ABANDONED_AFTER = timedelta(hours=1)
_HELPER = re.compile(r"(candidate|publish|build|selftest)-(?:.+-)?([0-9a-f]{16})")
_DONE = (Phase.MERGED, Phase.LIVE, Phase.REJECTED)
_LEASES = {"candidate": "integrate", "build": "stage"}


def finish_open_intents(stack: Stack, actor: str) -> tuple[str, ...]:
    """Repeat each open intent's own write and adopt what the lake says; return what was found, in words.

    Safe while the writer of an intent is still alive: the lake lets one of the two merges through, and the ledger lets
    one of the two close the intent.
    """
    found = []
    for intent in stack.ledger.open_intents():
        finish = finish_advance if intent.kind == "advance" else finish_publication
        if _is_outdated(stack, intent):
            # An older publication must not bring back what production has left; the pointer publishes anew. If its
            # writer is alive and wins, `reconcile` sees production differ from `settled`.
            with stack.ledger.write() as tx:
                tx.intents.close(intent.operation, "dropped")
            stack.lake.delete_branch(f"publish-{intent.operation}")
            found.append(f"publish {intent.operation}: dropped, the live pointer has moved on")
            continue
        try:
            finish(stack, intent.operation, intent.payload)
            found.append(f"{intent.kind} {intent.operation}: finished")
        except errors.Conflict as error:
            found.append(f"{intent.kind} {intent.operation}: {error.message}")
        except errors.NotFound:
            # Its helper branch is gone and its commit never reached a branch: nothing of it is in the lake.
            with stack.ledger.write() as tx:
                tx.intents.close(intent.operation, "dropped")
            found.append(f"{intent.kind} {intent.operation}: dropped, its commit is gone")
    return tuple(found)


def _is_outdated(stack: Stack, intent: Intent) -> bool:
    is_production = intent.kind == "publish" and intent.payload["branch"].startswith(PRODUCTION)
    return is_production and bool(intent.payload["generation"] < stack.ledger.pointer().generation)


def reconcile(stack: Stack, actor: str = "policy:reconcile") -> tuple[str, ...]:
    """Bring the lake in line with the ledger after anything, and sweep; return what was done, in words."""
    repaired = bring_in_line(stack, actor)
    return (*repaired, *expire_waivers(stack, actor), *sweep_branches(stack, actor), *sweep_evidence(stack, actor))


def bring_in_line(stack: Stack, actor: str) -> tuple[str, ...]:
    """Finish or drop what a killed process left, and let `production` show what is settled; no upkeep."""
    return (*finish_open_intents(stack, actor), *_repair_production(stack, actor))


def _repair_production(stack: Stack, actor: str) -> tuple[str, ...]:
    found: list[str] = []
    pointer = stack.ledger.pointer()
    shown = stack.lake.read_json(stack.lake.head(PRODUCTION).commit_id, PUBLISHED_FENCE)
    is_ahead = bool(shown) and (
        shown["generation"] > pointer.generation
        or (shown["generation"] == pointer.generation and shown["wanted"] != pointer.settled)
    )
    if is_ahead and not pointer.frozen:
        reason = f"production was published at generation {shown['generation']}, the ledger stands at "
        reason += f"{pointer.generation}: was the ledger restored from a copy?"
        # Level with the lake, so that what a person decides next, and only that, is newer than what production shows.
        frozen = plans.freeze(pointer, reason)
        frozen = replace(frozen, generation=max(frozen.generation, shown["generation"]))
        with stack.ledger.write() as tx:
            tx.production.swap_pointer(pointer, frozen, EventType.PROMOTIONS_FROZEN, actor, reason=reason)
        return (reason,)
    if pointer.settled and not is_ahead:
        if not recovery.has_commit(stack, pointer.settled):
            lost, pointer = recovery.recover(stack, pointer, actor)
            found.append(lost)
            if not recovery.has_commit(stack, pointer.settled or ""):
                return tuple(found)
        if show_settled(stack, actor):
            found.append(f"production shows {pointer.live} again")
    return tuple(found)


def sweep_branches(stack: Stack, actor: str) -> tuple[str, ...]:
    """Delete the hidden helper branches that nobody needs any more; return what was swept, in words.

    A refused candidate goes when its retention ends, any other helper one hour after a sweep has first seen it without
    an owner. A branch cannot tell its age (before its first commit it shows one of `main`), so the ledger does. An
    owner is an open intent or, while a candidate or a dartifact is built, who holds the lease of that station; a
    publication has opened its intent after a few calls with timeouts, in minutes. A process that was suspended for
    longer finds its branch gone and fails; as after a crash, the next one does its work.
    """
    helpers: dict[str, re.Match[str]] = {}
    for kind in ("candidate", "publish", "build", "selftest"):
        for branch in stack.lake.list_branches(f"{kind}-"):
            if match := _HELPER.fullmatch(branch):
                helpers[branch] = match
    # Read after the branches: an intent that was opened between the two looks is seen.
    owned = {intent.operation for intent in stack.ledger.open_intents()}
    operations = {match[2] for match in helpers.values()}
    refused = stack.ledger.first_times(EventType.CANDIDATE_REFUSED, operations)
    noted = stack.ledger.first_times(EventType.LEFTOVER_NOTED, operations)
    kinds = {match[1] for match in helpers.values() if match[2] not in refused}
    busy = {kind for kind in kinds if kind in _LEASES and is_held(stack.ledger, _LEASES[kind])}
    now, due = stack.clock(), {}
    for branch, match in helpers.items():
        kind, operation = match.groups()
        if operation in refused:
            if now >= refused[operation] + stack.policy.candidate_retention:
                due[branch] = "its retention is over"
        elif operation in owned or kind in busy:
            continue
        elif operation not in noted:
            with stack.ledger.write() as tx:
                tx.append(EventType.LEFTOVER_NOTED, actor, operation=operation, branch=branch)
        elif now >= noted[operation] + _ABANDONED_AFTER:
            due[branch] = "a leftover"
    for branch, why in due.items():
        stack.lake.delete_branch(branch)
        with stack.ledger.write() as tx:
            tx.append(EventType.BRANCH_SWEPT, actor, operation=helpers[branch][2], branch=branch, why=why)
    return tuple(f"{branch}: swept, {why}" for branch, why in due.items())


def sweep_evidence(stack: Stack, actor: str) -> tuple[str, ...]:
    """Delete the evidence against merged and rejected runs to which nothing has happened while a candidate is kept.

    That against all others stays: somebody has still to look at it.
    """
    branches = {name.removeprefix(EVIDENCE): name for name in stack.lake.list_branches(EVIDENCE)}
    swept = []
    for run in stack.ledger.runs(phases=_DONE, names=tuple(branches)) if branches else ():
        last = stack.ledger.events(run_id=run.run_id, most=1)
        if not last or stack.clock() < last[0].at + stack.policy.candidate_retention:
            continue
        branch, why = branches[run.run_id], f"the run is {run.phase} and its retention is over"
        stack.lake.delete_branch(branch)
        with stack.ledger.write() as tx:
            tx.append(EventType.BRANCH_SWEPT, actor, run=run.run_id, branch=branch, why=why)
        swept.append(f"{branch}: swept, {why}")
    return tuple(swept)


def show_settled(stack: Stack, actor: str) -> bool:
    """Publish what the live pointer calls settled on `production`; False when it is shown already."""
    for _ in range(5):
        pointer = stack.ledger.pointer()
        if pointer.settled is None or pointer.live is None:
            return False
        head = stack.lake.head(PRODUCTION)
        wanted = stack.lake.commit_of(pointer.settled)
        try:
            commit = publish(
                stack, PRODUCTION, wanted, dartifact=pointer.live, generation=pointer.generation, actor=actor
            )
        except errors.Conflict:
            continue  # another publisher won: read the pointer again
        if stack.ledger.pointer().settled == pointer.settled:
            return commit != head.commit_id
    raise errors.Conflict("production kept moving while it was published", hint=Command("status"))
