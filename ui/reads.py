"""What the pages show: documents from the ledger, read alike by CLI and UI, without what the role may not see."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, TypeVar

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.gates.losses import find_losses
from dartifact.commands.production.approvals import count_needed, find_approvals, find_authors
from dartifact.commands.production.choice import choose_promotion, plan_promotion
from dartifact.commands.production.rollback_preview import preview_rollback as preview
from dartifact.commands.production.under_way import find_under_way
from dartifact.documents.checks import CheckDocument, list_results
from dartifact.documents.dartifacts import DartifactDocument, describe_dartifact
from dartifact.documents.events import EventDocument, Payload
from dartifact.documents.production import describe_live, describe_rollback, describe_under_way
from dartifact.documents.records import describe_run_record
from dartifact.documents.runs import RunDocument, describe_run
from dartifact.domain.dartifacts import Cause, Dartifact, Passport
from dartifact.domain.errors import UsageError
from dartifact.domain.events import EventType
from dartifact.domain.marks import HIDDEN, Reveal
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sources import HAND
from ui.documents import (
    ApprovalsDocument,
    EventRow,
    GapRow,
    MartChange,
    NextPromotion,
    PromotionRow,
    RollbackPreview,
    ShownEvent,
    ShownRun,
    SlotsDocument,
    StepsDocument,
)
from ui.exports import write_csv_text
from ui.masks import hider, mask_dataset, name_checks
from ui.stack import find_prefect, open_ledger, open_ledger_stack, read_sources

_DETAILS = ("slot", "weight", "rows", "step", "gate", "derived", "waits_for", "leaves", "returns", "kind", "value",
            "deed", "role", "needed")  # fmt: skip
_NOTED = ("flow_run",)  # what else of an event a page is given
TREND = 12
T = TypeVar("T")


def describe_runs(runs: Iterable[Run]) -> list[RunDocument]:
    """Return runs as documents, without what the role may not see in their reasons."""
    return [{**describe_run(run), "reasons": [hider(run.source)(reason) for reason in run.reasons]} for run in runs]


def show_dartifact(dartifact: Dartifact) -> DartifactDocument:
    """Return a dartifact as a document, without what the role may not see in its reasons."""
    hide = hider()
    found = describe_dartifact(dartifact)
    passport = hide_within(found["passport"], hide)
    return {**found, "reasons": [hide(reason) for reason in dartifact.reasons], "passport": passport}


def hide_within(document: T, hide: Reveal) -> T:
    """Return a document of JSON values with all its texts readable for the person who looks."""
    if isinstance(document, str):
        return hide(document)  # type: ignore[return-value]
    if isinstance(document, dict):
        return {hide(name): hide_within(each, hide) for name, each in document.items()}  # type: ignore[return-value]
    return [hide_within(each, hide) for each in document] if isinstance(document, list) else document  # type: ignore


# Runs and events


def list_runs(phase: str, ingestor: str, before: int | None, most: int) -> list[RunDocument]:
    """Return runs as documents, the newest claim first; in one phase, of one ingestor, before a claim, or all."""
    if phase and phase not in set(Phase):
        raise UsageError(f"there is no phase {phase}", hint=", ".join(Phase))
    phases = (Phase(phase),) if phase else None
    runs = open_ledger().runs(phases=phases, ingestor=ingestor or None, before=before, most=most)
    return describe_runs(runs)


def list_events(type: str, actor: str, before: int | None, most: int) -> list[EventRow]:
    """Return who did what, when, why and from where, the newest first: of one type, one actor, before one, or all."""
    return _read_events(open_ledger(), hider(), type, actor, before, most)


def prepare_events(type: str, actor: str, most: int) -> Callable[[], str]:
    """Return what packs events as CSV; it is called once somebody wants the file, outside of the session."""
    ledger, hide = open_ledger(), hider()
    return lambda: write_csv_text(_read_events(ledger, hide, type, actor, None, most))


def _read_events(ledger: Ledger, hide: Reveal, type: str, actor: str, before: int | None, most: int) -> list[EventRow]:
    events = ledger.events(type=type or None, actor=actor or None, before=before, most=most)
    return [
        {
            "sequence": event.sequence,
            "at": event.at,
            "type": event.type,
            "actor": event.actor,
            "place": event.place,
            "run": event.run_id,
            "dartifact": event.dartifact_id,
            "why": hide(_tell_why(event.payload)),
            "seal": event.seal,
        }
        for event in reversed(events)
    ]


def _tell_why(payload: Payload) -> str:
    """Return the reasons of an event, else what it did."""
    reasons = payload.get("reason") or "; ".join(payload.get("reasons") or ())
    return reasons or ", ".join(f"{name} {payload[name]}" for name in _DETAILS if payload.get(name) is not None)


def name_events(column: Literal["type", "actor"]) -> list[str]:
    """Name the types of events, or the actors, that there are."""
    return open_ledger().event_names(column)


def name_ingestors() -> list[str]:
    """Name the declared ingestors, and the one of changes by hand."""
    return [*(ingestor.name for source in read_sources().values() for ingestor in source.ingestors), HAND]


def count_phases() -> dict[str, int]:
    """Return how many runs are in each phase, in the order of the road."""
    counts = open_ledger().count_runs()
    return {phase.value: counts[phase] for phase in Phase if counts.get(phase)}


def read_production() -> SlotsDocument:
    """Return where production stands, and when the data of each slot was built."""
    found = describe_live(open_ledger().pointer())
    built = {slot: read_dartifact(name)["created_at"] if name else None for slot, name in found["dartifacts"].items()}
    return {**found, "built": built}


def read_under_way() -> StepsDocument | None:
    """Return where a promotion or rollback stands, with all its steps; None when nothing moves."""
    found = find_under_way(open_ledger_stack())
    document = describe_under_way(found)
    return {**document, "steps": [str(step) for step in found.plan.steps]} if document and found else None


def plan_next() -> NextPromotion | None:
    """Return what would be promoted now and by which steps; None when nothing waits. PolicyRefused says why not."""
    stack = open_ledger_stack()
    chosen = choose_promotion(stack)
    if chosen is None:
        return None
    plan = plan_promotion(stack, stack.ledger.pointer(), chosen.dartifact_id, "-")
    return {**show_dartifact(chosen), "slot": plan.slot, "steps": [str(step) for step in plan.steps]}


def preview_rollback(to: str | None, blame: str) -> RollbackPreview:
    """Return what a rollback would do; each mart as in `compare_marts`, the build commits of both dartifacts beside."""
    found = describe_rollback(preview(open_ledger_stack(), to, Cause.parse([blame])))
    now, then = read_dartifact(found["leaves"]), read_dartifact(found["returns"])
    marts = compare_marts(now["passport"] or {}, then["passport"] or {})
    return {**found, "marts": marts, "builds": (now["commit"] or "", then["commit"] or "")}


def list_promotions(most: int) -> list[PromotionRow]:
    """Return promotions and rollbacks, the newest first."""
    return [
        {
            "started": promotion.started_at,
            "ended": promotion.ended_at,
            "kind": promotion.plan.kind,
            "dartifact": promotion.plan.dartifact,
            "slot": promotion.plan.slot,
            "state": promotion.state,
            "steps": f"{promotion.done} of {len(promotion.plan.steps)}",
        }
        for promotion in open_ledger().promotions(most=most)
    ]


def list_dartifacts(most: int) -> list[DartifactDocument]:
    """Return dartifacts as documents, the newest first."""
    return [show_dartifact(dartifact) for dartifact in open_ledger().dartifacts(most=most)]


def read_dartifact(dartifact: str) -> DartifactDocument:
    """Return one dartifact with its passport."""
    return show_dartifact(open_ledger().dartifact(dartifact))


def read_base(dartifact: str | None) -> DartifactDocument | None:
    """Return a dartifact to compare with, without a name the live one; None while nothing is live."""
    name = dartifact or open_ledger().pointer().live
    return read_dartifact(name) if name else None


def compare_with_live(runs: Collection[str]) -> tuple[list[str], list[str]]:
    """Return which of these runs production does not show, and which runs it shows beside them."""
    live = read_base(None)
    shown = live["runs"] if live else []
    return [run_id for run_id in runs if run_id not in {*shown}], [run_id for run_id in shown if run_id not in {*runs}]


def compare_marts(before: Passport, after: Passport) -> list[MartChange]:
    """Return the marts of two passports: their rows on both sides, and whether the content differs."""
    sides = [passport.get("marts", {}) for passport in (before, after)]
    return [
        {
            "mart": mart,
            "rows_before": sides[0].get(mart, {}).get("rows"),
            "rows": sides[1].get(mart, {}).get("rows"),
            "differs": sides[0].get(mart, {}).get("sha256") != sides[1].get(mart, {}).get("sha256"),
        }
        for mart in sorted({*sides[0], *sides[1]})
    ]


def list_gaps() -> list[GapRow]:
    """Return the windows whose rows are missing from `main`, with the run that left each."""
    return [
        {"source": window.source, "lo": window.lo, "hi": window.hi, "state": window.state.value, "run": run_id}
        for window, run_id in open_ledger().gaps()
    ]


def read_run(run_id: str) -> ShownRun:
    """Return one run with its checks, waivers and events; the failing rows are read apart, from the lake."""
    run = describe_run_record(open_ledger(), run_id)
    hide = hider(run["source"])
    return {
        **run,
        "reasons": [hide(reason) for reason in run["reasons"]],
        "checks": _mask_checks(run["source"], run["checks"], hide),
        "waivers": [],  # no page shows them, and they name checks as they are
        "events": [_explain(event, hide) for event in run["events"]],
    }


def _mask_checks(dataset: str, checks: Sequence[CheckDocument], hide: Reveal) -> list[CheckDocument]:
    mask, names = mask_dataset(dataset), name_checks(dataset, [check["check"] for check in checks])
    shown = []
    for check in checks:
        told: CheckDocument = {**check, "check": names[check["check"]], "message": hide(check["message"])}
        if mask.shown is not None:
            told["condition"] = HIDDEN if check["condition"] else None
        if not mask.shows_figures_of(dataset, check["check"], check["column"]):
            told["measured"], told["threshold"] = None, HIDDEN
        shown.append(told)
    return shown


def _explain(event: EventDocument, hide: Reveal) -> ShownEvent:
    noted = {name: event["payload"][name] for name in _NOTED if name in event["payload"]}
    return {**event, "payload": noted, "why": hide(_tell_why(event["payload"]))}


def read_trends(run: ShownRun) -> dict[str, list[float]]:
    """Return what each check has measured in the last runs of the ingestor up to this one, the oldest first."""
    ledger, mask = open_ledger(), mask_dataset(run["source"])
    names = name_checks(run["source"], [each.check for each in list_results(ledger, ledger.run(run["run_id"]))])
    found: dict[str, list[float]] = {}
    for earlier in reversed(ledger.runs(ingestor=run["ingestor"], before=run["window"]["seq"] + 1, most=TREND)):
        for result in list_results(ledger, earlier):
            is_shown = mask.shows_figures_of(run["source"], result.check, result.column)
            if is_shown and result.measured is not None and result.check in names:
                found.setdefault(names[result.check], []).append(result.measured)
    return found


def read_approvals(dartifact: str) -> ApprovalsDocument:
    """Return who has approved a dartifact, who may not, how many approvals it needs, and what readers would lose."""
    stack = open_ledger_stack()
    found = stack.ledger.dartifact(dartifact)
    return {
        "given": [
            {"who": approval.actor, "at": approval.at.isoformat(), "why": approval.reason}
            for approval in find_approvals(stack, found)
        ],
        "authors": sorted(find_authors(stack, found)),
        "needed": count_needed(stack, found),
        "losses": [str(loss) for loss in find_losses(stack, found)],
    }


def find_in_prefect(run: ShownRun) -> str:
    """Return the page of the flow run that brought a run, empty where Prefect had no part or is not known to be up."""
    noted = [event["payload"]["flow_run"] for event in run["events"] if event["type"] == EventType.FLOW_RUN_NOTED]
    pages = os.environ.get("PREFECT_UI_URL") or find_prefect().removesuffix("/api")
    return f"{pages}/runs/flow-run/{noted[-1]}" if noted and pages else ""
