"""The self-test of the checks: faults and harmless variations of a good batch, on a throw-away branch, at the gates."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.tables import duck
from dartifact.commands.gates.batch import view_batch
from dartifact.commands.gates.drift import define_before
from dartifact.commands.gates.integration import check_candidate
from dartifact.commands.gates.local import check_batch
from dartifact.commands.stack import Stack, new_operation
from dartifact.compare.mutations.self_test import SelfTest, Stop, run_trials
from dartifact.compare.mutations.work import Table
from dartifact.domain import errors
from dartifact.domain.checks import Outcome, Report, VerdictKind, judge
from dartifact.domain.drift_rules import HISTORY, LEAST_RUNS
from dartifact.domain.hints import Command
from dartifact.domain.profiles import Profile, add_counts
from dartifact.domain.progress import Progress, keep_quiet
from dartifact.domain.runs import Phase, Run
from dartifact.domain.sql_text import literal

BRANCH = "selftest-"
_RECENT = 10
_FEW_ROWS = 1000


def self_test(
    stack: Stack,
    dataset: str,
    *,
    seed: int = 0,
    magnitude: float = 1.0,
    progress: Progress = keep_quiet,
) -> SelfTest:
    """Put every known fault into a recent good batch of a dataset, one at a time, and ask the gates about each.

    The batch is the largest of the newest runs in `main`; it is spoiled on a hidden branch that is deleted at the end,
    and nothing is written to the ledger. NotFound: no run of the dataset is in `main`. ChecksFailed: the gates stop the
    batch as it is.
    """
    run = _choose(stack, dataset)
    history = stack.ledger.profiles(run.ingestor, before=run.window.seq, most=HISTORY)
    branch = BRANCH + new_operation()
    stack.lake.create_branch(branch, stack.lake.head(MAIN).commit_id)
    try:
        with tempfile.TemporaryDirectory(prefix="selftest-", dir=stack.home) as folder:
            trial = _Trials(stack, run, branch, Path(folder) / "part-0.parquet")
            with trial.open() as profile:
                if (stop := trial.ask("SELECT * EXCLUDE (file_row_number) FROM batch")) is not None:
                    raise errors.ChecksFailed(
                        f"{run.run_id} itself would be stopped today: {stop.message}",
                        hint=Command("show", run.run_id),
                    )
                table = trial.describe(profile, history)
                done = run_trials(table, trial.ask, seed=seed, magnitude=magnitude, progress=progress)
    finally:
        stack.lake.delete_branch(branch)
    notes = (
        [] if run.rows and run.rows >= _FEW_ROWS else [f"the batch has {run.rows or 0:,} rows: a dose is a few of them"]
    )
    if len(history) < LEAST_RUNS:
        notes.append(f"only {len(history)} runs of {run.ingestor} were in main before it: drift may not be asked")
    return SelfTest(dataset, run.run_id, run.rows or 0, *done, tuple(notes))


def _choose(stack: Stack, dataset: str) -> Run:
    source = stack.source(dataset)
    names = {each.name for each in source.ingestors}
    found = [
        each
        for each in stack.ledger.runs(phases=(Phase.MERGED, Phase.LIVE), source=dataset, most=_RECENT)
        if each.ingestor in names
    ]
    if not found:
        raise errors.NotFound(f"no run of {dataset} is in main yet", hint=Command("ingest", dataset))
    return max(found, key=lambda each: each.rows or 0)


class _Trials:
    """Asks the gates about mutated batches of one run."""

    def __init__(self, stack: Stack, run: Run, branch: str, file: Path) -> None:
        self.stack, self.run, self.branch, self.file = stack, run, branch, file
        ingestor = next(each for each in stack.source(run.source).ingestors if each.name == run.ingestor)
        self.has_local_gate = ingestor.local_gate and run.ingestor not in stack.policy.skip_local_gate

    @contextmanager
    def open(self) -> Iterator[Profile]:
        """Define `batch` and `before` for the queries of mutations; yield the batch's profile."""
        stack, run = self.stack, self.run
        commit = stack.lake.commit_of(run.commit or "")
        _, profile = check_batch(stack, run, commit)
        if profile is None:
            raise errors.ChecksErrored(f"the batch of {run.run_id} could not be profiled")
        with duck.connect() as self.connection:
            view_batch(stack, self.connection, run, commit.commit_id)
            self.connection.execute("CREATE TABLE mine AS FROM batch")
            self.connection.execute("CREATE OR REPLACE VIEW batch AS FROM mine")
            # the run's own rows are not among these, wherever the branch starts
            base = _child_of(stack.lake.head(self.branch))
            self.has_before = define_before(stack, self.connection, run, base, None)
            if self.has_before:
                self.connection.execute("CREATE TABLE there AS FROM before")
            yield profile

    def describe(self, profile: Profile, history: tuple[Profile, ...]) -> Table:
        """Say what the mutations have to know of the batch."""
        source = self.stack.source(self.run.source)
        described = self.connection.execute("DESCRIBE batch").fetchall()
        types = {row[0]: str(row[1]) for row in described}
        names = [name for name, _ in self.stack.contract(self.run.source).columns if name in types]
        moves = {}
        for name in profile.columns:
            counts = add_counts([each.moves.get(name, {}) for each in history])
            for move in sorted(counts, key=lambda each: -counts[each]):
                old, new = move.split(" → ")
                if not counts.get(f"{new} → {old}"):
                    moves[name] = (old, new)
                    break
        return Table(
            "batch",
            {name: types[name] for name in names},
            profile,
            source.key,
            source.updated_at,
            f"TIMESTAMPTZ {literal(self.run.window.hi.isoformat())}",
            tuple(each.column for each in source.references),
            "there" if self.has_before else None,
            moves,
        )

    def ask(self, query: str) -> Stop | None:
        """Commit a mutated batch and ask the local gate, then the integration gate; say which of them stops it."""
        self.connection.execute(f"COPY ({query}) TO {literal(str(self.file))} (FORMAT parquet, COMPRESSION snappy)")
        lake, run = self.stack.lake, self.run
        path = f"{run.folder}part-0.parquet"
        lake.upload(self.branch, path, self.file)
        others = [each.path for each in lake.list_objects(self.branch, run.folder) if each.path != path]
        if others:
            lake.delete_objects(self.branch, others)
        try:
            commit = lake.commit(self.branch, "mutate", {"run": run.run_id})
        except errors.NoChanges:
            commit = lake.head(self.branch)
        mutated = replace(run, commit=commit.commit_id)
        if self.has_local_gate and (stop := _find_stop(check_batch(self.stack, mutated, commit)[0])):
            return stop
        return _find_stop(check_candidate(self.stack, commit, (mutated,)))


def _child_of(commit: Commit) -> Commit:
    """Return what a commit on top of this one looks like to who asks for its parent."""
    return replace(commit, parents=(commit.commit_id,))


def _find_stop(report: Report) -> Stop | None:
    if judge(report.results).kind is VerdictKind.PASS:
        return None
    red = (Outcome.FAILED, Outcome.ERRORED)
    first = next((each for each in report.results if each.outcome in red), None)
    if first is None:
        return Stop(report.gate.value, "-", "no check was run")
    return Stop(report.gate.value, first.check, first.message)
