"""The verbs `approve` and `reject`, of runs and of dartifacts."""

from __future__ import annotations

from dartifact.cli.frame import answer, opened
from dartifact.cli.options import Output
from dartifact.cli.text.dartifacts import format_dartifact
from dartifact.cli.text.lines import indent
from dartifact.commands.production.approvals import approve_dartifact, find_approvals, reject_dartifact
from dartifact.commands.review import decide
from dartifact.commands.stack import Stack
from dartifact.documents.dartifacts import describe_approved_dartifact, describe_dartifact
from dartifact.documents.gaps import describe_gaps
from dartifact.documents.runs import describe_approved_run, describe_run
from dartifact.domain.decisions import Decision, Seen
from dartifact.domain.runs import read_run_id


def approve(run: str, reason: str, commit: str, report: str, output: Output) -> None:
    """Approve a run or a dartifact."""
    with opened(lake=False, sources=False) as (settings, stack):
        decision = Decision(settings.person, reason, Seen(commit or None, report or None))
        if stack.ledger.has_dartifact(run):
            _approve_dartifact(stack, run, decision, output)
        else:
            _approve_run(stack, read_run_id(run), decision, output)


def _approve_dartifact(stack: Stack, name: str, decision: Decision, output: Output) -> None:
    dartifact = approve_dartifact(stack, name, decision)
    document = describe_approved_dartifact(dartifact, find_approvals(stack, dartifact))
    actors = ", ".join(document["approvals"])
    text = f"{name} is approved by {actors}; the policy asks for {stack.policy.approvals}"
    answer(document, output, lambda: f"{text}\nnext: dartifact promote")


def _approve_run(stack: Stack, run_id: str, decision: Decision, output: Output) -> None:
    done = decide.approve(stack, run_id, decision)
    waived = [waiver for waiver in stack.ledger.waivers(run_ids=[done.run_id]) if waiver.ended_at is None]
    accepted = [
        f"accepted: {waiver.check}, {waiver.rows:,} failing rows" for waiver in waived if waiver.commit == done.commit
    ]
    lines = [f"{done.run_id} is approved and {done.phase}", *indent(accepted), "next: dartifact integrate"]
    answer(describe_approved_run(done, waived), output, lambda: "\n".join(lines))


def reject(run: str, reason: str, commit: str, output: Output) -> None:
    """Reject a run or a dartifact."""
    with opened(lake=False, sources=False) as (settings, stack):
        decision = Decision(settings.person, reason, Seen(commit or None))
        if stack.ledger.has_dartifact(run):
            bad = reject_dartifact(stack, run, decision)
            answer(describe_dartifact(bad), output, lambda: format_dartifact(bad))
        else:
            _reject_run(stack, read_run_id(run), decision, output)


def _reject_run(stack: Stack, run_id: str, decision: Decision, output: Output) -> None:
    done = decide.reject(stack, run_id, decision)
    lines = [f"{done.run_id} is rejected"]
    for gap in describe_gaps(stack.ledger):
        if gap["run_id"] == done.run_id:
            lines += ["its rows are missing from main; ingest them again or accept the gap:"]
            lines += indent([gap["backfill"], gap["accept"]])
    answer(describe_run(done), output, lambda: "\n".join(lines))
