"""Verify: whether ledger and lake agree, and all that the ledger names can still be read. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import md5

from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION
from dartifact.commands.bond import find_break
from dartifact.commands.production.publication import PUBLISHED_FENCE
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.repair.recovery import has_commit
from dartifact.commands.stack import Stack
from dartifact.commands.upkeep.doctor_stores import look_at_events
from dartifact.commands.upkeep.findings import Finding, Unwell
from dartifact.domain.dartifacts import PASSED
from dartifact.domain.errors import DartifactError, NotFound
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.queue import runs_in
from dartifact.domain.runs import Phase

_SHOWN = 3
_WITH_ROWS = (Phase.QUEUED, Phase.FAILED, Phase.HELD, Phase.CHECKING)


def verify(stack: Stack, *, deep: bool = False, progress: Progress = keep_quiet) -> tuple[Finding, ...]:
    """Compare ledger and lake; with `deep`, every object of `main` and production is read and its checksum compared."""
    looks: list[tuple[str, Callable[[Stack], str], str]] = [
        ("bond", _look_at_bond, "dartifact adopt"),
        ("events", lambda stack: look_at_events(stack.ledger), "compare with a backup or an export"),
        ("main", _look_at_main, "dartifact integrate"),
        ("runs in main", _look_at_runs, "dartifact adopt, or restore the lake"),
        ("run branches", _look_at_branches, "restore the lake, or reject the runs and ingest their windows again"),
        ("dartifacts", _look_at_dartifacts, "restore the lake, or reject the dartifacts"),
        ("production", _look_at_production, "dartifact status: production is brought in line within a minute"),
    ]
    if deep:
        looks.append(("objects", lambda stack: _read_objects(stack, progress), "restore the lake"))
    findings = []
    for what, look, advice in looks:
        try:
            findings.append(Finding(what, True, look(stack)))
        except DartifactError as error:
            findings.append(Finding(what, False, error.message, str(error.hint) or advice))
    return tuple(findings)


def _look_at_bond(stack: Stack) -> str:
    broken = find_break(stack)
    if broken:
        raise Unwell(broken)
    return f"ledger and lake {stack.lake.repository} belong together"


def _look_at_main(stack: Stack) -> str:
    head = stack.lake.head(MAIN)
    state = is_main_tested(stack.ledger, head)
    if not state:
        raise Unwell(f"main is not tested: {state.why}")
    return f"main {head.commit_id[:12]} is tested"


def _look_at_runs(stack: Stack) -> str:
    there = runs_in(found.path for found in stack.lake.list_objects(stack.lake.head(MAIN).commit_id, "raw/"))
    merged = {run.run_id for run in stack.ledger.runs(phases=(Phase.MERGED, Phase.LIVE))}
    if there - merged:
        raise Unwell(f"main holds {_name(there - merged)}, which the ledger does not call merged")
    if merged - there:
        raise Unwell(f"main lacks {_name(merged - there)}, which the ledger calls merged")
    return f"all {len(merged):,} merged runs are in main, and no other"


def _look_at_branches(stack: Stack) -> str:
    runs = [run for run in stack.ledger.runs(phases=_WITH_ROWS) if run.commit]
    lost = {run.run_id for run in runs if not has_commit(stack, run.commit or "")}
    if lost:
        raise Unwell(f"the lake lacks the rows of {_name(lost)}")
    return f"the rows of all {len(runs):,} waiting and stopped runs can be read"


def _look_at_dartifacts(stack: Stack) -> str:
    kept = [found for found in stack.ledger.dartifacts(states=PASSED) if found.commit]
    lost = {found.dartifact_id for found in kept if not has_commit(stack, found.commit or "")}
    if lost:
        raise Unwell(f"the lake lacks {_name(lost)}")
    return f"all {len(kept):,} dartifacts can be read"


def _look_at_production(stack: Stack) -> str:
    pointer = stack.ledger.pointer()
    if pointer.settled is None:
        return "nothing is live yet"
    lost = [slot.commit for slot in pointer.slots.values() if slot.commit and not has_commit(stack, slot.commit)]
    if lost:
        raise Unwell(f"the lake lacks {lost[0][:12]}, which a slot shows")
    shown = stack.lake.read_json(stack.lake.head(PRODUCTION).commit_id, PUBLISHED_FENCE) or {}
    if shown.get("wanted") != pointer.settled:
        raise Unwell(f"production shows {str(shown.get('wanted'))[:12]}, and should show {pointer.settled[:12]}")
    return f"production shows {pointer.live}"


def _read_objects(stack: Stack, progress: Progress) -> str:
    count = size = 0
    for branch in (MAIN, PRODUCTION):
        commit = stack.lake.head(branch).commit_id
        for found in stack.lake.list_objects(commit):
            try:
                content = stack.lake.read_bytes(commit, found.path)
            except NotFound as error:
                raise Unwell(f"{branch} lacks the content of {found.path}") from error
            digest = md5(content, usedforsecurity=False).hexdigest()
            if len(found.checksum) == len(digest) and digest != found.checksum.strip('"'):
                raise Unwell(f"{found.path} in {branch} is damaged")
            count, size = count + 1, size + len(content)
            if count % 1000 == 0:
                progress(f"{count:,} objects read, {size / 1e6:,.0f} MB")
    return f"{count:,} objects read, {size / 1e6:,.1f} MB"


def _name(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more
