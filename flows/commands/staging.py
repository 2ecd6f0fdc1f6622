"""Staging: build the head of `main` with the newest code, test it, pack it as a dartifact, show it on `env-staging`."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from flows.adapters import duck
from flows.adapters.dbt_build import export_marts, run_sql_checks, to_results
from flows.adapters.lake import MAIN, STAGING, Commit, LakeObject
from flows.adapters.project_code import digest_code, pack_code
from flows.adapters.soda_checks import check_contract
from flows.commands import moves
from flows.commands.housekeeping import finish_open_intents
from flows.commands.stack import Runner, Stack, hold_lease, new_operation, run_plainly
from flows.commands.stops import refuse_while_stopped
from flows.compare.current import select_current
from flows.domain import errors
from flows.domain.checks import Gate, Report, Result, VerdictKind, judge
from flows.domain.dartifacts import WAITING, Dartifact, DartifactState, dartifact_id, fingerprint
from flows.domain.queue import runs_in

PASSPORT = "_dartifact/passport.json"
CONFIGURATION = {"data": "full"}


def stage(stack: Stack, *, actor: str, run: Runner = run_plainly) -> Dartifact:
    """Make the dartifact of `main`'s head and today's code, or return it if it is known; red or green.

    Raises UsageError while `main` is empty, Conflict while its head is untested or the code changes during the build,
    Locked while another stage works, ChecksErrored when dbt could not run.
    """
    refuse_while_stopped(stack.ledger)
    with hold_lease(stack.ledger, "stage"):
        finish_open_intents(stack, actor)
        head = stack.lake.head(MAIN)
        if not head.parents:
            raise errors.UsageError("main holds no data yet", hint="dartifact ingest SOURCE, then dartifact integrate")
        if not stack.ledger.has_green_report(head.meta_range):
            raise errors.Conflict("the head of main is not tested", hint="dartifact integrate")
        objects = stack.lake.list_objects(head.commit_id, "raw/")
        raw = fingerprint((each.path, each.checksum) for each in objects)
        code = digest_code(stack.project)
        name = dartifact_id(raw, code, CONFIGURATION)
        known = _find(stack, name)
        if known is None:
            runs = runs_in(each.path for each in objects)
            with stack.ledger.write() as tx:
                tx.add_dartifact(name, code_digest=code, main_commit=head.commit_id, runs=runs, actor=actor)
        if known is None or known.state is DartifactState.BUILDING:
            _build(stack, name, head, objects, {"raw": raw, "code": code}, actor, run)
        else:
            _wait_alone(stack, known, actor)
        dartifact = stack.ledger.dartifact(name)
        if dartifact.commit is not None and dartifact.state is not DartifactState.BAD:
            wanted = stack.lake.commit_of(dartifact.commit)
            publish = partial(
                moves.publish, stack, STAGING, wanted, dartifact=name, generation=dartifact.created, actor=actor
            )
            run("publish env-staging", publish)
        return dartifact


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
            tx.move_dartifact(name, DartifactState.APPROVED, "DartifactApproved", actor)
        for other in ledger.dartifacts(states=WAITING):
            if other.dartifact_id != name:
                tx.move_dartifact(other.dartifact_id, DartifactState.SUPERSEDED, "DartifactSuperseded", actor)


def _find(stack: Stack, name: str) -> Dartifact | None:
    try:
        return stack.ledger.dartifact(name)
    except errors.NotFound:
        return None


def _build(
    stack: Stack,
    name: str,
    head: Commit,
    objects: Sequence[LakeObject],
    digests: Mapping[str, str],
    actor: str,
    run: Runner,
) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="build-", dir=stack.home) as folder:
        build = Path(folder)
        run("seed the build", lambda: _seed(stack, build, head, objects))
        built = run("dbt build", lambda: stack.dbt.build(build))
        results = to_results(built)
        if built.green:
            results += run("integration tests", lambda: _test_marts(stack, build))
        if digest_code(stack.project) != digests["code"]:
            raise errors.Conflict("dbt/ or checks/ changed during the build", hint="dartifact stage")
        report = Report(Gate.STAGING, head.commit_id, head.meta_range, results)
        verdict = judge(results)
        if verdict.kind is not VerdictKind.PASS:
            with stack.ledger.write() as tx:
                tx.save_report(report, verdict)
                reasons = list(verdict.reasons)
                tx.move_dartifact(name, DartifactState.RED, "DartifactRed", actor,
                                  changes={"reasons": reasons}, reasons=reasons, report=report.digest)  # fmt: skip
            return
        marts = run("export the marts", lambda: export_marts(build, build / "marts"))
        passport = {
            "dartifact": name,
            "built_at": stack.clock().isoformat(),
            "main": {"commit": head.commit_id, "meta_range": head.meta_range},
            "inputs": {**digests, "configuration": CONFIGURATION},
            "runs": sorted(runs_in(each.path for each in objects)),
            "marts": {mart: _describe(path) for mart, path in sorted(marts.items())},
            "checks": dict(Counter(result.outcome.value for result in results)),
            "report": report.digest,
            "cost": {"seconds": round(time.monotonic() - started, 3), "bytes": sum(each.size for each in objects)},
        }
        commit = run("pack the dartifact", lambda: _pack(stack, name, marts, passport))
        passport = stack.lake.read_json(commit.commit_id, PASSPORT)  # of whoever packed first
    with stack.ledger.write() as tx:
        tx.save_report(report, verdict)
        changes = {"commit_id": commit.commit_id, "meta_range": commit.meta_range, "passport": passport, "reasons": []}
        tx.move_dartifact(name, DartifactState.GREEN, "DartifactGreen", actor, changes=changes,
                          commit=commit.commit_id, report=report.digest)  # fmt: skip


def _seed(stack: Stack, build: Path, head: Commit, objects: Sequence[LakeObject]) -> None:
    """Write `build.duckdb`: `raw.<dataset>` is the current table of the pinned commit."""
    with duck.connect(stack.lake.access, build / "build.duckdb") as connection:
        connection.execute("CREATE SCHEMA raw; CREATE SCHEMA records")
        for source in stack.sources.values():
            mine = [each for each in objects if each.path.startswith(f"raw/{source.name}/")]
            if not mine:
                columns = [*stack.contract(source.name).columns, ("_run_id", "varchar"), ("_seq", "bigint"),
                           ("_extracted_at", "timestamp with time zone"), ("_deleted", "boolean")]  # fmt: skip
                typed = ", ".join(f"NULL::{kind} AS {duck.quote(column)}" for column, kind in columns)
                connection.execute(f"CREATE VIEW raw.{source.name} AS SELECT {typed} WHERE false")
                continue
            urls = stack.lake.locate(head.commit_id, mine)
            duck.create_view(connection, f"records.{source.name}", urls, stack.lake.access)
            query = select_current(f"records.{source.name}", source.key, source.updated_at)
            # dbt's own connection has no key to the gateway, so what comes from there is copied now.
            kind = "TABLE" if urls[0].startswith("s3://") else "VIEW"
            connection.execute(f"CREATE {kind} raw.{source.name} AS {query}")


def _test_marts(stack: Stack, build: Path) -> tuple[Result, ...]:
    results = run_sql_checks(build, stack.project / "checks" / "integration")
    with duck.connect(stack.lake.access, build / "build.duckdb") as connection:
        for contract in stack.mart_contracts():
            results += check_contract(connection, contract, f"marts.{contract.dataset}")
    return results


def _describe(path: Path) -> dict[str, Any]:
    row = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
    return {"rows": row[0] if row else 0, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _pack(stack: Stack, name: str, marts: Mapping[str, Path], passport: Mapping[str, Any]) -> Commit:
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
        lake.upload(branch, "_dartifact/code.tar", pack_code(stack.project))
        commit = lake.commit(branch, f"dartifact {name}", {"dartifact": name, "main": passport["main"]["commit"]})
        try:
            lake.create_branch(keep, commit.commit_id)
        except errors.Conflict:
            commit = lake.head(keep)
        lake.tag(f"dartifact-{name}", commit.commit_id)
        return commit
    finally:
        lake.delete_branch(branch)
