"""Staging: build the head of `main` with the newest code, test it, pack it as a dartifact, show it on `env-staging`."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from dartifact.adapters.lakefs.lake import MAIN, STAGING
from dartifact.adapters.lakefs.values import Commit, LakeObject
from dartifact.adapters.transform.dbt_build import export_marts
from dartifact.adapters.transform.project_code import digest_code, pack_code
from dartifact.commands.leases import hold_lease
from dartifact.commands.production.publication import publish
from dartifact.commands.queue.tested import is_main_tested
from dartifact.commands.repair.reconcile import finish_open_intents
from dartifact.commands.stack import Runner, Stack, new_operation, run_plainly
from dartifact.commands.staging.builds import build
from dartifact.commands.staging.codes import CODE_TAR, LastGood, find_refusal, last_good
from dartifact.commands.staging.culprits import name_culprit
from dartifact.commands.stops import refuse_while_stopped
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Report, Result, Verdict, VerdictKind, judge
from dartifact.domain.culprits import Culprit, CulpritKind
from dartifact.domain.dartifacts import WAITING, Blame, BlameKind, Dartifact, DartifactState, dartifact_id, fingerprint
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.queue import runs_in
from dartifact.domain.runs import Phase

PASSPORT = "_dartifact/passport.json"
CONFIGURATION = {"data": "full"}

_POLICY = "policy:stage"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a dartifact is made of. `code` opens the stack whose project and dbt are built; `digest` is of that code.

    `refused` says which code this one stands in for, and why.
    """

    head: Commit
    objects: tuple[LakeObject, ...]
    digest: str
    code: Callable[[], Stack]
    refused: Mapping[str, str] | None = None

    @property
    def digests(self) -> dict[str, str]:
        """Return the fingerprint of the raw data and the digest of the code."""
        return {"raw": fingerprint((each.path, each.checksum) for each in self.objects), "code": self.digest}

    @property
    def name(self) -> str:
        """Return the id of the dartifact."""
        return dartifact_id(**self.digests, configuration=CONFIGURATION)

    @property
    def runs(self) -> frozenset[str]:
        """Name the runs whose rows are built."""
        return runs_in(each.path for each in self.objects)


def stage(stack: Stack, *, actor: str, runner: Runner = run_plainly, retry: bool = False) -> Dartifact:
    """Make the dartifact of `main`'s head and today's code, or return it if it is known; red or green.

    A red build is followed by others that find the culprit: a run is put into the queue to be reverted, code is
    refused. While today's code is refused, the dartifact is made with that of the last good one. `retry` forgets the
    refusal and what was red, and builds again.

    Raises UsageError while `main` is empty, Conflict while its head is untested or the code changes during the build,
    PolicyRefused when the code is refused and there is no other, Locked while another stage works, ChecksErrored when
    dbt could not run.
    """
    refuse_while_stopped(stack.ledger)
    with hold_lease(stack.ledger, "stage"):
        finish_open_intents(stack, actor)
        head = stack.lake.head(MAIN)
        if not head.parents:
            raise errors.UsageError(
                "main holds no data yet", hint=(Command("ingest", "SOURCE"), ", then ", Command("integrate"))
            )
        if not (state := is_main_tested(stack.ledger, head)):
            raise errors.Conflict(f"the head of main is not tested: {state.why}", hint=Command("integrate"))
        objects, digest = stack.lake.list_objects(head.commit_id, "raw/"), digest_code(stack.project)
        inputs = Inputs(head, objects, digest, lambda: stack)
        if retry:
            _forget(stack, inputs, actor)
        with last_good(stack) as good:
            made = _make(stack, inputs, good, actor, runner) if find_refusal(stack.ledger, digest) is None else None
            refused = find_refusal(stack.ledger, digest)
            if refused is not None:
                made = _make(stack, _stand_in(inputs, good, refused, runner), good, actor, runner)
        assert made is not None
        if made.commit is not None and made.state is not DartifactState.BAD:
            wanted = stack.lake.commit_of(made.commit)
            show = partial(
                publish, stack, STAGING, wanted, dartifact=made.dartifact_id, generation=made.created, actor=actor
            )
            runner("publish env-staging", show)
        return made


def _stand_in(inputs: Inputs, good: LastGood | None, why: str, runner: Runner) -> Inputs:
    """Return the same data with the code of the last good dartifact."""
    if good is None:
        raise errors.PolicyRefused(
            f"current dbt/ and checks/ are blocked ({why}), and no dartifact was green with others",
            hint=("change them, or ", Command("stage", "--retry")),
        )
    name, digest = good.dartifact.dartifact_id, good.dartifact.code_digest
    refused = {"code": inputs.digest, "why": why, "built_with": name}
    step = f"current dbt/ and checks/ are blocked: build with the code of {name}"
    return Inputs(inputs.head, inputs.objects, digest, lambda: runner(step, good.open_code), refused)


def _forget(stack: Stack, inputs: Inputs, actor: str) -> None:
    known = _find(stack, inputs.name)
    with stack.ledger.write() as tx:
        if tx.dartifacts.drop_blame(Blame(BlameKind.CODE, inputs.digest)):
            tx.append(EventType.CODE_REFUSAL_FORGOTTEN, actor, code=inputs.digest)
        if known is not None and known.state is DartifactState.RED:
            tx.dartifacts.move(
                inputs.name, DartifactState.BUILDING, EventType.DARTIFACT_RETRIED, actor, changes={"reasons": []}
            )


def _make(stack: Stack, inputs: Inputs, good: LastGood | None, actor: str, runner: Runner) -> Dartifact:
    """Build a dartifact that is not known, or was left half built; return it, red or green."""
    name = inputs.name
    known = _find(stack, name)
    if known is None:
        with stack.ledger.write() as tx:
            tx.dartifacts.add(
                name, code_digest=inputs.digest, main_commit=inputs.head.commit_id, runs=inputs.runs, actor=actor
            )
    if known is None or known.state is DartifactState.BUILDING:
        build_dartifact(stack, name, inputs, good, actor, runner)
    if known is not None:
        _wait_alone(stack, stack.ledger.dartifact(name), actor)
    return stack.ledger.dartifact(name)


def _wait_alone(stack: Stack, known: Dartifact, actor: str) -> None:
    """Let what `main` came back to, by a revert say, wait for production, and what it has left no longer."""
    ledger, name = stack.ledger, known.dartifact_id

    def is_settled() -> bool:
        if ledger.dartifact(name).state in (DartifactState.RED, DartifactState.BAD):
            return True
        others = [each for each in ledger.dartifacts(states=WAITING) if each.dartifact_id != name]
        return not others and ledger.dartifact(name).state is not DartifactState.SUPERSEDED

    if is_settled():
        return
    with ledger.write() as tx:
        if is_settled():
            return
        if ledger.dartifact(name).state is DartifactState.SUPERSEDED:
            tx.dartifacts.move(name, DartifactState.APPROVED, EventType.DARTIFACT_APPROVED, actor)
        for other in ledger.dartifacts(states=WAITING):
            if other.dartifact_id != name:
                tx.dartifacts.move(other.dartifact_id, DartifactState.SUPERSEDED, EventType.DARTIFACT_SUPERSEDED, actor)


def _find(stack: Stack, name: str) -> Dartifact | None:
    try:
        return stack.ledger.dartifact(name)
    except errors.NotFound:
        return None


def build_dartifact(
    stack: Stack, name: str, inputs: Inputs, good: LastGood | None, actor: str, runner: Runner = run_plainly
) -> None:
    """Build, test and pack a dartifact that is `building`; it is green or red then."""
    started, head, objects = time.monotonic(), inputs.head, inputs.objects
    code = inputs.code()
    with tempfile.TemporaryDirectory(prefix="build-", dir=stack.home) as folder:
        place = Path(folder)
        results = build(stack, code, {head.commit_id: objects}, place, runner=runner)
        _refuse_other_code(code, inputs)
        report = Report(Gate.STAGING, head.commit_id, head.meta_range, results)
        verdict = judge(results)
        if verdict.kind is not VerdictKind.PASS:
            # Red is written down after the culprit is known: whoever is killed in between looks for him again.
            culprit = name_culprit(stack, code, inputs.digest, good, head.commit_id, objects, runner)
            _refuse_other_code(code, inputs)
            _record_red(stack, name, inputs, report, verdict, culprit, actor)
            return
        marts = runner("export the marts", lambda: export_marts(place, place / "marts"))
        passport = _write_passport(stack, name, inputs, marts, results, report) | {
            "cost": {"seconds": round(time.monotonic() - started, 3), "bytes": sum(each.size for each in objects)}
        }
        commit = runner("pack the dartifact", lambda: _pack(stack, code, name, marts, passport))
        passport = stack.lake.read_json(commit.commit_id, PASSPORT)  # of whoever packed first
    with stack.ledger.write() as tx:
        tx.reports.save(report, verdict)
        changes = {"commit_id": commit.commit_id, "meta_range": commit.meta_range, "passport": passport, "reasons": []}
        tx.dartifacts.move(
            name,
            DartifactState.GREEN,
            EventType.DARTIFACT_GREEN,
            actor,
            changes=changes,
            commit=commit.commit_id,
            report=report.digest,
        )
        if stack.policy.approvals:
            tx.append(EventType.APPROVAL_NEEDED, actor, dartifact=name, needed=stack.policy.approvals)


def _refuse_other_code(code: Stack, inputs: Inputs) -> None:
    if digest_code(code.project) != inputs.digest:
        raise errors.Conflict("dbt/ or checks/ changed during the build", hint=Command("stage"))


def _record_red(
    stack: Stack, name: str, inputs: Inputs, report: Report, verdict: Verdict, culprit: Culprit, actor: str
) -> None:
    """Write down what is red and who did it; code is refused, a run is put into the queue to be taken out."""
    reasons, why = [*verdict.reasons, culprit.reason], verdict.reasons[0]
    named = {"kind": culprit.kind.value, "run": culprit.run_id, "probes": culprit.probes}
    with stack.ledger.write() as tx:
        tx.reports.save(report, verdict)
        tx.dartifacts.move(
            name,
            DartifactState.RED,
            EventType.DARTIFACT_RED,
            actor,
            changes={"reasons": reasons},
            reasons=reasons,
            report=report.digest,
            culprit=named,
        )
        if culprit.kind is CulpritKind.CODE:
            tx.dartifacts.add_blame(Blame(BlameKind.CODE, inputs.digest))
            tx.append(
                EventType.CODE_REFUSED, _POLICY, dartifact=name, code=inputs.digest, why=why, reason=culprit.reason
            )
        if culprit.kind is CulpritKind.DATA and culprit.run_id and stack.policy.revert_culprits:
            guilty = tx.runs.get(culprit.run_id)
            # It may have left `main` meanwhile, or wait to be taken out already.
            if guilty.phase in (Phase.MERGED, Phase.LIVE) and guilty.revert_reason is None:
                tx.runs.request_revert(culprit.run_id, f"{name} is red: {why}; {culprit.reason}", _POLICY)


def _write_passport(
    stack: Stack, name: str, inputs: Inputs, marts: Mapping[str, Path], results: Sequence[Result], report: Report
) -> dict[str, Any]:
    return {
        "dartifact": name,
        "built_at": stack.clock().isoformat(),
        "main": {"commit": inputs.head.commit_id, "meta_range": inputs.head.meta_range},
        "inputs": {**inputs.digests, "configuration": CONFIGURATION},
        "refused": inputs.refused,
        "runs": sorted(inputs.runs),
        "marts": {mart: _describe(path) for mart, path in sorted(marts.items())},
        "checks": dict(Counter(result.outcome.value for result in results)),
        "report": report.digest,
    }


def _describe(path: Path) -> dict[str, Any]:
    row = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
    return {"rows": row[0] if row else 0, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _pack(stack: Stack, code: Stack, name: str, marts: Mapping[str, Path], passport: Mapping[str, Any]) -> Commit:
    """Commit marts, passport and code on a build branch and keep the commit by a branch and a tag.

    Who creates the keep branch first has made the dartifact; anybody else adopts that commit.
    """
    lake, keep = stack.lake, f"keep-{name}"
    if lake.has_branch(keep):
        commit = lake.head(keep)
        lake.tag(f"dartifact-{name}", commit.commit_id)
        return commit
    branch = f"build-{name}-{new_operation()}"
    lake.create_branch(branch, lake.head(STAGING).commit_id)
    try:
        old = [each.path for each in lake.list_objects(f"{branch}@")]
        if old:
            lake.delete_objects(branch, old)
        for mart, path in marts.items():
            lake.upload(branch, f"marts/{mart}.parquet", path)
        lake.upload(branch, PASSPORT, json.dumps(passport, indent=1, sort_keys=True).encode())
        lake.upload(branch, CODE_TAR, pack_code(code.project))
        commit = lake.commit(branch, f"dartifact {name}", {"dartifact": name, "main": passport["main"]["commit"]})
        try:
            lake.create_branch(keep, commit.commit_id)
        except errors.Conflict:
            commit = lake.head(keep)
        lake.tag(f"dartifact-{name}", commit.commit_id)
        return commit
    finally:
        lake.delete_branch(branch)
