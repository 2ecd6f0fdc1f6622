"""Assembly of one dartifact: build and test its inputs, pack what is green, find out who turned it red."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from dartifact.adapters.lakefs.lake import STAGING
from dartifact.adapters.lakefs.values import Commit, LakeObject
from dartifact.adapters.transform.dbt_build import export_marts
from dartifact.adapters.transform.project_code import digest_code, pack_code
from dartifact.commands.gates.losses import find_losses
from dartifact.commands.production.approvals import count_needed
from dartifact.commands.stack import Runner, Stack, new_operation, run_plainly
from dartifact.commands.staging.builds import build
from dartifact.commands.staging.codes import CODE_TAR, LastGood
from dartifact.commands.staging.culprits import name_culprit
from dartifact.domain import errors
from dartifact.domain.checks import Gate, Report, VerdictKind, judge
from dartifact.domain.culprits import Culprit, CulpritKind
from dartifact.domain.dartifacts import Blame, BlameKind, DartifactState, dartifact_id, fingerprint
from dartifact.domain.events import EventType
from dartifact.domain.hints import Command
from dartifact.domain.queue import runs_in
from dartifact.domain.runs import Phase

PASSPORT = "_dartifact/passport.json"
CONFIGURATION = {"data": "full"}

_POLICY = "policy:stage"


@dataclass(frozen=True, slots=True)
class StandIn:
    """The code of the last good dartifact, in place of a code that is refused: which one, and why."""

    good: LastGood
    refused: str
    why: str

    def to_json(self) -> dict[str, str]:
        """Return what the passport tells of it."""
        return {"code": self.refused, "why": self.why, "built_with": self.good.dartifact.dartifact_id}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a dartifact is made of; `digest` is that of today's code, or of the one that stands in for it."""

    head: Commit
    objects: tuple[LakeObject, ...]
    digest: str
    stand_in: StandIn | None = None

    @property
    def digests(self) -> dict[str, str]:
        """Return the fingerprint of the raw data and the digest of the code."""
        return {"raw": fingerprint((found.path, found.checksum) for found in self.objects), "code": self.digest}

    @property
    def name(self) -> str:
        """Return the id of the dartifact."""
        return dartifact_id(**self.digests, configuration=CONFIGURATION)

    @property
    def runs(self) -> frozenset[str]:
        """Name the runs whose rows are built."""
        return runs_in(found.path for found in self.objects)


def build_dartifact(
    stack: Stack, name: str, inputs: Inputs, good: LastGood | None, actor: str, runner: Runner = run_plainly
) -> None:
    """Build, test and pack a dartifact that is `building`; it is green or red then."""
    started, head = time.monotonic(), inputs.head
    code = _open_code(stack, inputs, runner)
    with tempfile.TemporaryDirectory(prefix="build-", dir=stack.home) as folder:
        place = Path(folder)
        results = build(stack, code, {head.commit_id: inputs.objects}, place, runner=runner)
        _refuse_other_code(code, inputs)
        report = Report(Gate.STAGING, head.commit_id, head.meta_range, results)
        if judge(results).kind is not VerdictKind.PASS:
            # Red is written down after the culprit is known: whoever is killed in between looks for him again.
            culprit = name_culprit(stack, code, inputs.digest, good, head.commit_id, inputs.objects, runner)
            _refuse_other_code(code, inputs)
            _record_red(stack, name, inputs, report, culprit, actor)
            return
        marts = runner("export the marts", lambda: export_marts(place, place / "marts"))
        passport = _write_passport(stack, name, inputs, marts, report, started)
        commit = runner("pack the dartifact", lambda: _pack(stack, code, name, marts, passport))
    _record_green(stack, name, commit, report, actor)


def _open_code(stack: Stack, inputs: Inputs, runner: Runner) -> Stack:
    """Return the stack whose project and dbt are built."""
    if inputs.stand_in is None:
        return stack
    good = inputs.stand_in.good
    step = f"current dbt/ and checks/ are blocked: build with the code of {good.dartifact.dartifact_id}"
    return runner(step, good.open_code)


def _refuse_other_code(code: Stack, inputs: Inputs) -> None:
    if digest_code(code.project) != inputs.digest:
        raise errors.Conflict("dbt/ or checks/ changed during the build", hint=Command("stage"))


def _record_green(stack: Stack, name: str, commit: Commit, report: Report, actor: str) -> None:
    passport = stack.lake.read_json(commit.commit_id, PASSPORT)  # of whoever packed first
    changes = {"commit_id": commit.commit_id, "meta_range": commit.meta_range, "passport": passport, "reasons": []}
    with stack.ledger.write() as tx:
        tx.reports.save(report, judge(report.results))
        tx.dartifacts.move(
            name,
            DartifactState.GREEN,
            EventType.DARTIFACT_GREEN,
            actor,
            changes=changes,
            commit=commit.commit_id,
            report=report.digest,
        )
    dartifact = stack.ledger.dartifact(name)
    if needed := count_needed(stack, dartifact):
        losses = [f"it {loss}" for loss in find_losses(stack, dartifact)]
        with stack.ledger.write() as tx:
            tx.append(EventType.APPROVAL_NEEDED, actor, dartifact=name, needed=needed, reasons=losses)


def _record_red(stack: Stack, name: str, inputs: Inputs, report: Report, culprit: Culprit, actor: str) -> None:
    """Write down what is red and who did it; code is refused, a run is put into the queue to be taken out."""
    verdict = judge(report.results)
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
    stack: Stack, name: str, inputs: Inputs, marts: Mapping[str, Path], report: Report, started: float
) -> dict[str, Any]:
    passport = {
        "dartifact": name,
        "built_at": stack.clock().isoformat(),
        "main": {"commit": inputs.head.commit_id, "meta_range": inputs.head.meta_range},
        "inputs": {**inputs.digests, "configuration": CONFIGURATION},
        "refused": inputs.stand_in.to_json() if inputs.stand_in else None,
        "runs": sorted(inputs.runs),
        "marts": {mart: _describe(path) for mart, path in sorted(marts.items())},
        "checks": dict(Counter(result.outcome.value for result in report.results)),
        "report": report.digest,
    }
    seconds = round(time.monotonic() - started, 3)
    return {**passport, "cost": {"seconds": seconds, "bytes": sum(found.size for found in inputs.objects)}}


def _describe(path: Path) -> dict[str, Any]:
    row = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
    return {"rows": row[0] if row else 0, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _pack(stack: Stack, code: Stack, name: str, marts: Mapping[str, Path], passport: Mapping[str, Any]) -> Commit:
    """Commit marts, passport and code on a build branch and keep the commit by a branch and a tag.

    Who creates the keep branch first has made the dartifact; anybody else adopts that commit.
    """
    lake, keep, tag = stack.lake, f"keep-{name}", f"dartifact-{name}"
    if lake.has_branch(keep):
        commit = lake.head(keep)
        lake.tag(tag, commit.commit_id)
        return commit
    branch = f"build-{name}-{new_operation()}"
    lake.create_branch(branch, lake.head(STAGING).commit_id)
    try:
        old = [found.path for found in lake.list_objects(f"{branch}@")]
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
        lake.tag(tag, commit.commit_id)
        return commit
    finally:
        lake.delete_branch(branch)
