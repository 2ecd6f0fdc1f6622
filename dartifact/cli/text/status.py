"""The status as text, a section for each part of the road."""

from __future__ import annotations

from datetime import timedelta

from dartifact.cli.text.dartifacts import format_refusal
from dartifact.cli.text.lines import cut, format_section, indent
from dartifact.documents.gaps import BacklogDocument, GapDocument
from dartifact.documents.production import LiveDocument, UnderWayDocument
from dartifact.documents.status import MainDocument, ServicesDocument, StagingDocument, StatusDocument, StoppedRun
from dartifact.documents.waivers import WaiverDocument

_SHORT_COMMIT = 12
_MINUTE = slice(0, 16)  # of an ISO time: 2021-01-01T00:05
_CLOCK = slice(11, 16)
_CLOCK_WITH_SECONDS = slice(11, 19)
_REASONS_OF_A_RUN = 2


def format_status(status: StatusDocument) -> str:
    """Return where everything stands."""
    sections = {
        "PAUSED": [stop["say"] for stop in status["stops"]],
        "services": [_format_services(status.get("services"))],
        "main": [_format_main(status["main"])],
        "merge queue": _format_queue(status),
        "staging": _format_staging(status["staging"]),
        "production": _format_production(status["production"]),
        **_format_under_way(status["under_way"]),
        "gaps": [line for gap in status["gaps"] for line in _format_gap(gap)],
        "backlog": [_format_backlog(backlog) for backlog in status["backlog"]],
        "waivers": [_format_waiver(waiver) for waiver in status["waivers"]],
        "stopped runs": _format_stopped(status["stopped"]),
    }
    return "\n".join(line for label, lines in sections.items() for line in format_section(label, lines))


def _format_services(note: ServicesDocument | None) -> str:
    return f"running, pid {note['pid']}, {note['api_url']}" if note else "not running: dartifact up"


def _format_main(main: MainDocument) -> str:
    state = "tested" if main["tested"] else "NOT TESTED: dartifact integrate"
    return f"{main['commit'][:_SHORT_COMMIT]}  {state}"


def _format_queue(status: StatusDocument) -> list[str]:
    waiting = [f"{run['run_id']} {run['reasons'][0]}" for run in status["waiting"]]
    return [", ".join(status["queue"]) or "empty", *waiting]


def _format_staging(staging: StagingDocument) -> list[str]:
    lines = [f"{staging['dartifact'] or 'nothing yet'}  {staging['state'] or ''}"]
    lines += [f"why: {reason}" for reason in staging["reasons"]]
    if staging["refused"]:
        lines.append(format_refusal(staging["refused"], staging["built_with"]))
    return lines


def _format_production(production: LiveDocument) -> list[str]:
    where = f"  on {production['active']}, generation {production['generation']}" if production["active"] else ""
    lines = [f"{production['live'] or 'nothing yet'}{where}"]
    if sum(share > 0 for share in production["weights"].values()) > 1:
        shares = ", ".join(f"{share} % to {slot}" for slot, share in production["weights"].items())
        lines.append(f"named consumers: {shares}")
    if production["frozen"]:
        lines.append(f"FROZEN: {production['frozen']}; next: dartifact unfreeze --reason WHY")
    return lines


def _format_under_way(under_way: UnderWayDocument | None) -> dict[str, list[str]]:
    if under_way is None:
        return {}
    goes_on = under_way["goes_on_at"]
    until = f", continues at {goes_on[_CLOCK_WITH_SECONDS]} UTC" if goes_on else ""
    step = f"step {under_way['number']} of {under_way['of']}: {under_way['step']}{until}"
    return {under_way["kind"]: [f"{under_way['dartifact']}, {step}"]}


def _format_gap(gap: GapDocument) -> list[str]:
    window = f"{gap['lo'][_MINUTE]}–{gap['hi'][_CLOCK]}"
    return [
        f"{gap['source']} {window} {gap['state']}: {gap['run_id']}",
        *indent([gap["backfill"], f"or {gap['accept']}"]),
    ]


def _format_backlog(backlog: BacklogDocument) -> str:
    return f"{backlog['source']} shard {backlog['shard']}: {timedelta(seconds=backlog['seconds'])} behind the source"


def _format_waiver(waiver: WaiverDocument) -> str:
    until = f"until {waiver['until'][_MINUTE]}, " if waiver["until"] else ""
    limit = f"{until}{waiver['rows']:,} rows at most"
    return f"{waiver['check']} {limit}: {waiver['actor']}, {cut(waiver['reason'], 60)}"


def _format_stopped(runs: list[StoppedRun]) -> list[str]:
    lines = []
    for run in runs:
        reasons = [f"why: {cut(reason, 100)}" for reason in run["reasons"][:_REASONS_OF_A_RUN]]
        lines += [f"{run['branch']} ({run['phase']})", *indent(reasons)]
    return [*lines, "look: dartifact show RUN; decide: fix, recheck, approve or reject RUN"] if runs else []
