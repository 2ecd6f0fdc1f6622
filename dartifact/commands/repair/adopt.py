"""Adoption: what the lake holds and the ledger does not know is taken into the ledger, because a person says so.

For a ledger that was lost, restored from an older copy or belongs to nobody yet, and for a `main` that is held because
somebody has merged by hand. The plan is made first and shown; what the lake cannot tell is named in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.ledger.values import FoundDartifact, FoundRun
from dartifact.commands.bond import find_break
from dartifact.commands.production.publication import PUBLISHED_FENCE
from dartifact.commands.queue.candidates import adopt_run
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.stack import Stack
from dartifact.commands.staging.assembly import PASSPORT
from dartifact.domain import errors, plans
from dartifact.domain.checks import Gate, Outcome, Report, Result, judge
from dartifact.domain.dartifacts import DartifactState, Passport
from dartifact.domain.decisions import Decision
from dartifact.domain.events import EventType
from dartifact.domain.people import Role, require_reason
from dartifact.domain.plans import LivePointer, PromotionState, Slot
from dartifact.domain.queue import HEAD_FENCE
from dartifact.domain.runs import Phase, folder_owner, run_branch
from dartifact.domain.sources import HAND

_RUN_ID = re.compile(r"(?P<owner>.+)-(?P<stamp>\d{8}T\d{4}Z)-(?P<number>\d+)")
_KEEP = "keep-"
_NOT_KNOWN = "taken in from the lake: what its gates said is not known"
_NEVER_KNOWN = (
    "results of checks, approvals, waivers, reasons and attempts of what is taken in",
    "windows that were empty, and gaps that were accepted",
    "who read what; what was paused",
)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What would be taken in.

    `why` is what does not fit together now, empty where all does; `runs` and `dartifacts` are new to the ledger, and
    `production` has shown those in `served`; `arrived` and `gone` are runs it knows that are in `main`, or are not,
    against what it says; `pointer` is the live pointer as the lake shows it, None where the ledger's stands;
    `operations` of the lake are unknown to the ledger; `not_known` is what the lake cannot tell.
    """

    why: str
    head: Commit
    runs: tuple[FoundRun, ...] = ()
    arrived: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    dartifacts: tuple[FoundDartifact, ...] = ()
    served: tuple[str, ...] = ()
    pointer: LivePointer | None = None
    operations: tuple[str, ...] = ()
    not_known: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Say whether there is anything to take in."""
        return bool(self.why)


def plan_adoption(stack: Stack) -> Adoption:
    """Look through the lake for what the ledger does not know; nothing is written."""
    head = stack.lake.head(MAIN)
    why = find_break(stack)
    if not why and not (state := is_main_tested(stack.ledger, head)):
        why = f"main is not tested: {state.why}"
    if not why:
        return Adoption("", head)
    known = {run.run_id: run for run in stack.ledger.runs()}
    dartifacts = {found.dartifact_id for found in stack.ledger.dartifacts(most=1_000_000)}
    pointer = _read_pointer(stack)
    own = stack.ledger.pointer()
    moved = pointer if pointer and pointer.generation > own.generation else None
    shown = (moved or own).live
    found = tuple(_find_dartifacts(stack, dartifacts, head, moved or own))
    served = next((each.runs for each in found if each.dartifact_id == shown), ())
    there = _list_owners(stack, head)
    runs, unread = _find_runs(stack, there, frozenset(known), frozenset(served))
    merged = {name for name, run in known.items() if run.phase in (Phase.MERGED, Phase.LIVE)}
    fences = [(MAIN, HEAD_FENCE), *((f"{PRODUCTION}{slot}", PUBLISHED_FENCE) for slot in ("", "-blue", "-green"))]
    operations = [stack.lake.read_json(stack.lake.head(branch).commit_id, path) for branch, path in fences]
    unknown = {fence["operation"] for fence in operations if fence}
    return Adoption(
        why,
        head,
        runs,
        tuple(sorted(there.keys() & known.keys() - merged)),
        tuple(sorted(merged - there.keys())),
        found,
        _list_shown(stack, frozenset(dartifact.dartifact_id for dartifact in found)),
        moved,
        tuple(sorted(name for name in unknown if not stack.ledger.has_operation(name))),
        (*unread, *_NEVER_KNOWN),
    )


def adopt(stack: Stack, adoption: Adoption, decision: Decision) -> None:
    """Take in what was planned, in one transaction; promotions are frozen when the live pointer is taken in.

    Conflict when `main` has moved since the plan was made.
    """
    actor, reason = decision.actor, decision.reason
    require_reason(reason)
    stack.require(Role.OPERATOR, "take the lake into the ledger")
    if stack.lake.head(MAIN).commit_id != adoption.head.commit_id:
        raise errors.Conflict("main has moved since this was shown", hint="look again")
    stack.ledger.refuse_writes(None)
    stack.lake.refuse_writes(None)
    head = adoption.head
    message = f"{head.commit_id[:12]} is taken as it is by {actor}: {reason}"
    result = Result("main.adopted", MAIN, Outcome.PASSED, message)
    report = Report(Gate.INTEGRATION, head.commit_id, head.meta_range, (result,))
    with stack.ledger.write() as tx:
        for operation in adoption.operations:
            tx.intents.open(operation, "adopted", {"reason": reason})
            tx.intents.close(operation, "adopted")
        for run in adoption.runs:
            tx.windows.take_in(run, actor)
        for run_id in adoption.arrived:
            adopt_run(tx, run_id, Phase.MERGED, actor, head.commit_id)
        for run_id in adoption.gone:
            adopt_run(tx, run_id, Phase.REVERTED, actor, head.commit_id)
        for dartifact in adoption.dartifacts:
            tx.dartifacts.take_in(dartifact, actor)
        for name in adoption.served:
            tx.append(EventType.DARTIFACT_LIVE, actor, dartifact=name)
        if head.parents:
            tx.reports.save(report, judge(report.results))
            tx.append(EventType.MAIN_ADOPTED, actor, commit=head.commit_id, meta_range=head.meta_range)
        if adoption.pointer is not None:
            own = stack.ledger.pointer()
            frozen = f"taken in from the lake: {reason}"
            new = replace(adoption.pointer, generation=adoption.pointer.generation + 1, frozen=frozen)
            tx.production.swap_pointer(own, new, EventType.POINTER_ADOPTED, actor, reason=reason)
            if own.plan is not None:
                tx.production.move_promotion(own.plan, state=PromotionState.ABORTED)
            if new.live is not None:
                tx.dartifacts.show_live(new.live, actor)
                tx.runs.mark_served(_list_served(adoption, stack, new.live), ())
        tx.append(
            EventType.LEDGER_ADOPTED,
            actor,
            reason=reason,
            why=adoption.why,
            runs=len(adoption.runs),
            dartifacts=len(adoption.dartifacts),
        )
    stack.lake.write_ledger_id(stack.ledger.ledger_id)
    stack.ledger.bind()


def _list_served(adoption: Adoption, stack: Stack, live: str) -> tuple[str, ...]:
    found = {dartifact.dartifact_id: dartifact.runs for dartifact in adoption.dartifacts}
    return found[live] if live in found else stack.ledger.dartifact(live).runs


def _list_owners(stack: Stack, head: Commit) -> dict[str, str]:
    """Return run id → dataset of the folders in a head."""
    owners = (folder_owner(found.path) for found in stack.lake.list_objects(head.commit_id, "raw/"))
    return {owner[1]: owner[0] for owner in owners if owner}


def _find_runs(
    stack: Stack, there: Mapping[str, str], known: frozenset[str], served: frozenset[str]
) -> tuple[tuple[FoundRun, ...], tuple[str, ...]]:
    """Return the runs in `main` and on branches that the ledger lacks, in the order of their claims; what is unread."""
    branches = {name.removeprefix(run_branch("")) for name in stack.lake.list_branches(run_branch(""))}
    found: list[FoundRun] = []
    strange: list[str] = []
    without_window: list[str] = []
    for run_id in sorted((there.keys() | branches) - known):
        match = _RUN_ID.fullmatch(run_id)
        source = there.get(run_id) or (_find_source(stack, match["owner"]) if match else None)
        if match is None or source is None or not match["owner"].startswith(f"{source}-"):
            strange.append(run_id)
            continue
        commit = stack.lake.head(run_branch(run_id)) if run_id in branches else None
        told = commit.metadata if commit and commit.metadata.get("run") == run_id else {}
        if run_id not in there and not told:
            continue  # nothing was brought: its window is claimed anew
        if "lo" not in told:
            without_window.append(run_id)
        end = datetime.strptime(match["stamp"], "%Y%m%dT%H%MZ").replace(tzinfo=UTC)
        hi = _read_time(told.get("hi"), end)
        ingestor = match["owner"].removeprefix(f"{source}-")
        found.append(
            FoundRun(
                run_id,
                source,
                ingestor,
                _find_shard(stack, source, ingestor),
                int(match["number"]),
                int(told["seq"]) if told.get("seq", "").isdigit() else None,
                _read_time(told.get("lo"), hi),
                hi,
                (Phase.LIVE if run_id in served else Phase.MERGED) if run_id in there else Phase.HELD,
                commit.commit_id if commit and told else None,
                int(told["rows"]) if told.get("rows", "").isdigit() else None,
                () if run_id in there else (_NOT_KNOWN,),
            )
        )
    unread = [f"the start of the windows of {_name_some(without_window)}"] if without_window else []
    unread += [f"what {_name_some(strange)} is: no declared source has runs of that name"] if strange else []
    return tuple(sorted(found, key=lambda run: (run.seq is None, run.seq or 0, run.hi, run.run_id))), tuple(unread)


def _find_source(stack: Stack, owner: str) -> str | None:
    """Return the declared source whose ingestor a run id names."""
    fitting = [name for name in stack.sources if owner.startswith(f"{name}-")]
    return max(fitting, key=len, default=None)


def _find_shard(stack: Stack, source: str, ingestor: str) -> int:
    declared = stack.sources.get(source)
    if declared is None or ingestor == HAND or ingestor not in {each.name for each in declared.ingestors}:
        return 0
    return declared.shard(ingestor)


def _find_dartifacts(stack: Stack, known: set[str], head: Commit, pointer: LivePointer) -> Iterator[FoundDartifact]:
    """Find the kept dartifacts that the ledger lacks, the oldest first.

    One that was built of the head of `main` is green: a person may promote it. All others have served or were passed
    over; nobody promotes them again by accident.
    """
    found = []
    for branch in stack.lake.list_branches(_KEEP):
        name = branch.removeprefix(_KEEP)
        if name in known:
            continue
        commit = stack.lake.head(branch)
        passport: Passport = stack.lake.read_json(commit.commit_id, PASSPORT) or Passport()
        state = DartifactState.SUPERSEDED
        if name == pointer.live:
            state = DartifactState.LIVE
        elif "main" in passport and passport["main"]["meta_range"] == head.meta_range:
            state = DartifactState.GREEN
        found.append(
            FoundDartifact(
                name,
                state,
                passport.get("inputs", {}).get("code", ""),
                passport["main"]["commit"] if "main" in passport else "",
                tuple(passport.get("runs", ())),
                _read_time(passport.get("built_at"), datetime.fromtimestamp(commit.created, UTC)),
                commit.commit_id,
                commit.meta_range,
                passport,
            )
        )
    yield from sorted(found, key=lambda each: each.built_at)


def _list_shown(stack: Stack, found: frozenset[str]) -> tuple[str, ...]:
    """Return those that `production` has shown, the last one shown last."""
    shown = [commit.metadata.get("dartifact", "") for commit in stack.lake.log(PRODUCTION, most=100_000)]
    return tuple(reversed([name for name in dict.fromkeys(shown) if name in found]))


def _read_pointer(stack: Stack) -> LivePointer | None:
    """Return the live pointer that the fences of the slots and of `production` tell; None before any promotion."""
    shown = stack.lake.read_json(stack.lake.head(PRODUCTION).commit_id, PUBLISHED_FENCE)
    if not shown:
        return None
    slots, generation = {}, int(shown["generation"])
    for name in plans.SLOTS:
        head = stack.lake.head(f"{PRODUCTION}-{name}")
        fence = stack.lake.read_json(head.commit_id, PUBLISHED_FENCE)
        slots[name] = Slot(fence["dartifact"], head.commit_id) if fence else Slot()
        generation = max(generation, int(fence["generation"]) if fence else 0)
    active = next((name for name, slot in slots.items() if slot.commit == shown["wanted"]), None)
    if active is None:  # the slot was taken for the next one already
        active = next((name for name, slot in slots.items() if slot.dartifact == shown["dartifact"]), plans.SLOTS[0])
        slots[active] = Slot(shown["dartifact"], shown["wanted"])
    weights = {name: 100 if name == active else 0 for name in plans.SLOTS}
    return LivePointer(generation, slots, weights, settled=shown["wanted"])


def _read_time(text: str | None, other: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else other


def _name_some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
