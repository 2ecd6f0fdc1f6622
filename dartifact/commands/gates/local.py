"""The local gate: the rows of one run, on its own branch."""

from __future__ import annotations

from collections.abc import Sequence

from dartifact.adapters.lakefs.values import Commit
from dartifact.adapters.tables import duck
from dartifact.commands.gates.batch import check_own_rows, repeat_errored
from dartifact.commands.gates.drift import look_for_drift
from dartifact.commands.gates.waivers import waive_results
from dartifact.commands.stack import Stack
from dartifact.domain.checks import Gate, Report, Result
from dartifact.domain.profiles import Profile
from dartifact.domain.runs import Run


def check_batch(stack: Stack, run: Run, commit: Commit) -> tuple[Report, Profile | None]:
    """Check a run's own rows against its contract and its history, at the run's commit; return their profile, too.

    What could not be run is run again, as often as the policy says.
    """
    return repeat_errored(lambda: _check_once(stack, run, commit), lambda found: found[0], stack.policy.attempts)


def _check_once(stack: Stack, run: Run, commit: Commit) -> tuple[Report, Profile | None]:
    with duck.connect() as connection:
        results = check_own_rows(stack, connection, run, commit)
        drifts: tuple[Result, ...] = ()
        profile: Profile | None = None
        if not _is_out_of_reach(results):
            drifts, profile = look_for_drift(stack, connection, run, commit, "batch")
    waived = waive_results(stack, (*results, *drifts), [run])
    return Report(Gate.LOCAL, commit.commit_id, commit.meta_range, waived), profile


def _is_out_of_reach(results: Sequence[Result]) -> bool:
    """Say whether there is no batch to be read."""
    return any(each.check.endswith((".readable", ".present")) for each in results)
