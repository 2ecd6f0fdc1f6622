"""What the pages show: documents from the ledger, read alike by CLI and UI, without what the role may not see."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

import streamlit as st

from dartifact import documents
from dartifact.commands.production.approvals import find_approvals, find_authors
from dartifact.commands.production.choice import choose_promotion, plan_promotion
from dartifact.commands.production.rollback import preview_rollback as preview
from dartifact.commands.production.under_way import find_under_way
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.stops import LINE
from dartifact.domain.dartifacts import WAITING, Cause
from dartifact.domain.errors import UsageError
from dartifact.domain.events import EventType
from dartifact.domain.runs import UNFINISHED, Phase, Run
from dartifact.domain.sources import HAND
from dartifact.local.services import answers
from ui.masks import hider
from ui.stack import find_prefect, open_ledger, open_ledger_stack, read_sources

STRIP = 30
_DETAILS = ("slot", "weight", "rows", "step", "gate", "derived", "waits_for", "leaves", "returns", "kind", "value")
TREND = 12


def _describe_runs(runs: Iterable[Run]) -> list[dict[str, Any]]:
    hide = hider()
    described = [documents.describe_run(each) for each in runs]
    return [{**each, "reasons": [hide(reason) for reason in each["reasons"]]} for each in described]


# Now


def read_now() -> dict[str, Any]:
    """Return what a wall shows: what runs, what waits, what failed, `main`, staging, production, each ingestor."""
    ledger = open_ledger()
    stopped = ledger.runs(phases=(Phase.FAILED, Phase.HELD), most=20)
    main = is_main_tested(ledger)
    pointer = ledger.pointer()
    newest = next(iter(ledger.dartifacts(most=1)), None)
    names = [ingestor.name for source in read_sources().values() for ingestor in source.ingestors]
    return {
        "paused": [
            f"{'everything' if each.name == LINE else each.name} is paused: {each.reason}" for each in ledger.stops()
        ],
        "running": _describe_runs(ledger.runs(phases=UNFINISHED, most=20)),
        "queue": len(ledger.runs(phases=(Phase.QUEUED,))) + len(ledger.pending_reverts()),
        "stopped": _describe_runs(stopped),
        "counts": count_phases(),
        "main": {"at": main.since.isoformat() if main.since else None, "tested": main.is_tested, "why": main.why},
        "staging": documents.describe_dartifact(newest) if newest else None,
        "production": read_production(),
        "data_of": ledger.dartifact(pointer.live).created_at.isoformat() if pointer.live else None,
        "under_way": read_under_way(),
        "gaps": list_gaps(),
        "unapproved": _list_unapproved(),
        "strips": {name: _list_strip(name) for name in names},
    }


def _list_unapproved() -> list[dict[str, Any]]:
    """Return the dartifacts that wait for approvals, the newest first, with how many each has."""
    stack = open_ledger_stack()
    needed, live = stack.policy.approvals, stack.ledger.pointer().live
    waiting = stack.ledger.dartifacts(states=WAITING) if needed else ()
    counted = [(each.dartifact_id, len(find_approvals(stack, each))) for each in waiting if each.dartifact_id != live]
    return [{"dartifact": name, "given": given, "needed": needed} for name, given in counted if given < needed]


def _list_strip(ingestor: str) -> list[dict[str, Any]]:
    return [
        {"run": run.run_id, "phase": run.phase.value, "rows": run.rows, "hi": run.window.hi.isoformat()}
        for run in reversed(open_ledger().runs(ingestor=ingestor, most=STRIP))
    ]


# Runs and events


def list_runs(phase: str, ingestor: str, before: int | None, most: int) -> list[dict[str, Any]]:
    """Return runs as documents, the newest claim first; in one phase, of one ingestor, before a claim, or all."""
    if phase and phase not in set(Phase):
        raise UsageError(f"there is no phase {phase}", hint=", ".join(Phase))
    phases = (Phase(phase),) if phase else None
    runs = open_ledger().runs(phases=phases, ingestor=ingestor or None, before=before, most=most)
    return _describe_runs(runs)


def list_events(type: str, actor: str, before: int | None, most: int) -> list[dict[str, Any]]:
    """Return who did what, when, why and from where, the newest first: of one type, one actor, before one, or all."""
    hide = hider()
    events = open_ledger().events(type=type or None, actor=actor or None, before=before, most=most)
    return [
        {
            "sequence": each.sequence,
            "at": each.at,
            "type": each.type,
            "actor": each.actor,
            "place": each.place,
            "run": each.run_id,
            "dartifact": each.dartifact_id,
            "why": hide(_tell_why(each.payload)),
        }
        for each in reversed(events)
    ]


def _tell_why(payload: Mapping[str, Any]) -> str:
    """Return the reasons of an event, else what it did."""
    reasons = payload.get("reason") or "; ".join(payload.get("reasons") or ())
    return reasons or ", ".join(f"{name} {payload[name]}" for name in _DETAILS if payload.get(name) is not None)


def name_events(column: Literal["type", "actor"]) -> list[str]:
    """Name the types of events, or the actors, that there are."""
    return open_ledger().event_names(column)


def name_ingestors() -> list[str]:
    """Name the declared ingestors, and the one of changes by hand."""
    return [*(each.name for source in read_sources().values() for each in source.ingestors), HAND]


def count_phases() -> dict[str, int]:
    """Return how many runs are in each phase, in the order of the road."""
    counts = open_ledger().count_runs()
    return {phase.value: counts[phase] for phase in Phase if counts.get(phase)}


def read_production() -> dict[str, Any]:
    """Return where production stands, and when the data of each slot was built."""
    pointer = open_ledger().pointer()
    found = documents.describe_production(pointer)
    names = found["dartifacts"]
    built = {slot: read_dartifact(names[slot])["created_at"] if names[slot] else None for slot in names}
    return {"live": pointer.live, "built": built, **found}


def read_under_way() -> dict[str, Any] | None:
    """Return where a promotion or rollback stands, with all its steps; None when nothing moves."""
    found = find_under_way(open_ledger_stack())
    document = documents.describe_under_way(found)
    return {**document, "steps": [str(step) for step in found.plan.steps]} if document and found else None


def plan_next() -> dict[str, Any] | None:
    """Return what would be promoted now and by which steps; None when nothing waits. PolicyRefused says why not."""
    stack = open_ledger_stack()
    chosen = choose_promotion(stack)
    if chosen is None:
        return None
    plan = plan_promotion(stack, stack.ledger.pointer(), chosen.dartifact_id, "-")
    return {**documents.describe_dartifact(chosen), "slot": plan.slot, "steps": [str(step) for step in plan.steps]}


def preview_rollback(to: str | None, blame: str) -> dict[str, Any]:
    """Return what a rollback would do; each mart as in `compare_marts`, the build commits of both dartifacts beside."""
    found = documents.describe_rollback(preview(open_ledger_stack(), to, Cause.parse([blame])))
    now, then = read_dartifact(found["leaves"]), read_dartifact(found["returns"])
    marts = compare_marts(now["passport"] or {}, then["passport"] or {})
    return {**found, "marts": marts, "builds": (now["commit"], then["commit"])}


def list_promotions(most: int) -> list[dict[str, Any]]:
    """Return promotions and rollbacks, the newest first."""
    return [
        {
            "started": each.started_at,
            "ended": each.ended_at,
            "kind": each.plan.kind,
            "dartifact": each.plan.dartifact,
            "slot": each.plan.slot,
            "state": each.state,
            "steps": f"{each.done} of {len(each.plan.steps)}",
        }
        for each in open_ledger().promotions(most=most)
    ]


def list_dartifacts(most: int) -> list[dict[str, Any]]:
    """Return dartifacts as documents, the newest first."""
    return [documents.describe_dartifact(each) for each in open_ledger().dartifacts(most=most)]


def read_dartifact(dartifact: str) -> dict[str, Any]:
    """Return one dartifact with its passport."""
    return documents.describe_dartifact(open_ledger().dartifact(dartifact))


def read_base(dartifact: str | None) -> dict[str, Any] | None:
    """Return a dartifact to compare with, without a name the live one; None while nothing is live."""
    name = dartifact or open_ledger().pointer().live
    return read_dartifact(name) if name else None


def compare_with_live(runs: Collection[str]) -> tuple[list[str], list[str]]:
    """Return which of these runs production does not show, and which runs it shows beside them."""
    live = read_base(None)
    shown = live["runs"] if live else []
    return [each for each in runs if each not in {*shown}], [each for each in shown if each not in {*runs}]


def compare_marts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
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


def list_gaps() -> list[dict[str, Any]]:
    """Return the windows whose rows are missing from `main`, with the run that left each."""
    return [
        {"source": window.source, "lo": window.lo, "hi": window.hi, "state": window.state.value, "run": run_id}
        for window, run_id in open_ledger().gaps()
    ]


def read_run(run_id: str) -> dict[str, Any]:
    """Return one run with its checks, waivers and events; the failing rows are read apart, from the lake."""
    hide = hider()
    run = documents.describe_run_record(open_ledger(), run_id)
    run["reasons"] = [hide(each) for each in run["reasons"]]
    run["checks"] = [{**each, "message": hide(each["message"])} for each in run["checks"]]
    for each in run["events"]:
        each["why"] = hide(_tell_why(each["payload"]))
    return run


def read_trends(run: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return what each check has measured in the last runs of the ingestor up to this one, the oldest first."""
    ledger = open_ledger()
    found: dict[str, list[float]] = {}
    for each in reversed(ledger.runs(ingestor=run["ingestor"], before=run["window"]["seq"] + 1, most=TREND)):
        report = ledger.report(each.report) if each.report else None
        for result in report.results if report else ():
            if result.measured is not None and result.run_id in (None, each.run_id):
                found.setdefault(result.check, []).append(result.measured)
    return found


def read_approvals(dartifact: str) -> dict[str, Any]:
    """Return who has approved a dartifact, who may not, and how many approvals the policy asks for."""
    stack = open_ledger_stack()
    found = stack.ledger.dartifact(dartifact)
    return {
        "given": [
            {"who": each.actor, "at": each.at.isoformat(), "why": each.reason} for each in find_approvals(stack, found)
        ],
        "authors": sorted(find_authors(stack, found)),
        "needed": stack.policy.approvals,
    }


def find_in_prefect(run: Mapping[str, Any]) -> str:
    """Return the page of the flow run that brought a run, empty where Prefect had no part or is not known to be up."""
    noted = [each["payload"]["flow_run"] for each in run["events"] if each["type"] == EventType.FLOW_RUN_NOTED]
    pages = os.environ.get("PREFECT_UI_URL") or find_prefect().removesuffix("/api")
    return f"{pages}/runs/flow-run/{noted[-1]}" if noted and pages else ""


@st.cache_data(ttl=5, show_spinner=False)
def is_prefect_up() -> bool | None:
    """Say whether the Prefect server answers; None where none is known, or it is somebody else's service."""
    url = find_prefect()
    return answers(f"{url}/health", timeout=0.5) if url.startswith("http://") else None
