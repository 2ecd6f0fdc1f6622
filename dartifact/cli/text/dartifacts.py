"""Dartifacts as text: one that was built, and one with its passport."""

from __future__ import annotations

from dartifact.cli.text.lines import indent
from dartifact.documents.dartifacts import DartifactDocument
from dartifact.domain.dartifacts import Dartifact, DartifactState, Passport


def format_dartifact(dartifact: Dartifact) -> str:
    """Return what a dartifact is, and what to do next."""
    passport = dartifact.passport or {}
    details = [f"why: {reason}" for reason in dartifact.reasons]
    details += [f"{mart}: {figures['rows']:,} rows" for mart, figures in passport.get("marts", {}).items()]
    details += _format_refused(passport)
    lines = [f"{dartifact.dartifact_id}: {dartifact.state.value}, {len(dartifact.runs)} runs", *indent(details)]
    if dartifact.state is DartifactState.GREEN:
        lines.append("next: dartifact promote")
    return "\n".join(lines)


def format_dartifact_record(document: DartifactDocument) -> list[str]:
    """Return what is known of one dartifact, without its events."""
    passport = document["passport"] or {}
    main, code = document["main_commit"][:12], document["code_digest"][:12]
    details = [f"why: {reason}" for reason in document["reasons"]]
    details.append(f"of main {main}, {len(document['runs'])} runs, code {code}")
    details += _format_refused(passport)
    if document["commit"]:
        details.append(f"commit {document['commit']}, built at {passport.get('built_at')}")
    for mart, figures in passport.get("marts", {}).items():
        details.append(f"{mart}: {figures['rows']:,} rows, sha256 {figures['sha256'][:12]}")
    checks = ", ".join(f"{count} {outcome}" for outcome, count in passport.get("checks", {}).items())
    details += [f"checks: {checks}"] if checks else []
    return [f"dartifact {document['dartifact']}: {document['state']}", *indent(details)]


def format_refusal(why: str, built_with: str | None) -> str:
    """Return why the current code is not built, and what is built instead."""
    built = f"; built with the code of {built_with}" if built_with else ""
    return f"current dbt/ and checks/ are blocked: {why}{built}"


def _format_refused(passport: Passport) -> list[str]:
    refused = passport.get("refused")
    return [format_refusal(refused["why"], refused["built_with"])] if refused else []
