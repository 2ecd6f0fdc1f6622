"""What the pages do: the commands of the command line, on what was shown, with the same record."""

from __future__ import annotations

import contextlib
import os

from dartifact.commands.production import approvals, rollback, under_way
from dartifact.commands.production import promote as production
from dartifact.commands.production.rollback_preview import Rollback
from dartifact.commands.review import decide as review
from dartifact.commands.review import fix as fixes
from dartifact.commands.review.split import split_run
from dartifact.domain.dartifacts import Cause, Dartifact
from dartifact.domain.decisions import Decision
from dartifact.domain.errors import ServerUnavailable
from dartifact.domain.people import Role
from dartifact.domain.plans import Plan
from dartifact.domain.runs import Run
from ui.people import who
from ui.stack import find_prefect, open_ledger_stack, open_stack, open_stack_surely
from ui.uploads import read_upload


def approve(run_id: str, decision: Decision) -> Run:
    """Accept the failing checks of a run; Conflict when commit or report are no longer those that were shown."""
    return review.approve(open_ledger_stack(), run_id, decision)


def reject(run_id: str, decision: Decision) -> Run:
    """Discard a run; Conflict when its commit is no longer the one that was shown."""
    return review.reject(open_ledger_stack(), run_id, decision)


def recheck(run_id: str) -> Run:
    """Run the checks of a run again."""
    return review.recheck(open_stack(), run_id, actor=who().actor)


def split(run_id: str, decision: Decision) -> tuple[Run, Run]:
    """Merge the rows of a run that do not fail; return the derived run, and the run with what stays on its branch."""
    stack = open_stack()
    derived = split_run(stack, run_id, decision)
    return derived, stack.ledger.run(run_id)


def fix(run_id: str, decision: Decision, name: str, content: bytes) -> Run:
    """Give a run the rows of an uploaded file, and check it again; Conflict when it has another commit than shown."""
    open_ledger_stack().require(Role.REVIEWER, "fix a run")  # before anything of the file is looked at
    stack = open_stack()
    return fixes.fix(stack, run_id, decision, read_upload(name, content, stack.home))


def approve_dartifact(dartifact: str, decision: Decision) -> Dartifact:
    """Say yes to promoting a dartifact; Conflict when it was built again since it was shown."""
    return approvals.approve_dartifact(open_ledger_stack(), dartifact, decision)


def reject_dartifact(dartifact: str, decision: Decision) -> Dartifact:
    """Decide that a dartifact is never promoted; Conflict when it was built again since it was shown."""
    return approvals.reject_dartifact(open_ledger_stack(), dartifact, decision)


def promote(dartifact: str | None) -> Plan | None:
    """Promote a dartifact as far as the first soak; the station, or the same action again, continues after it."""
    return production.promote(open_stack(), dartifact, actor=who().actor)


def abort(plan_id: str, reason: str) -> Plan:
    """End the promotion that was shown; Conflict when another one is under way by now."""
    return under_way.abort(open_ledger_stack(), reason=reason, actor=who().actor, plan_id=plan_id)


def roll_back(leaves: str, to: str, blame: str, reason: str) -> Rollback:
    """Roll back to a dartifact, once, while the one that was shown as live still is; also without the lake."""
    why = reason.strip() or "no reason given"
    done = rollback.roll_back(
        open_stack_surely(), to, Cause.parse([blame]), reason=why, actor=who().actor, leaves=leaves
    )
    if done.reverts:
        _start_integrate(done.plan.plan_id)
    return done


def _start_integrate(key: str) -> None:
    """Start the station that takes runs out of `main`; when Prefect does not answer, its schedule does it later."""
    from dartifact.local.prefect_api import PrefectApi  # noqa: PLC0415
    from dartifact.local.prefect_auth import read_auth  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415

    url = find_prefect()
    if not url:
        return
    api = PrefectApi(url, os.environ.get("PREFECT_API_KEY", ""), auth=read_auth(read_settings().home))
    with contextlib.closing(api), contextlib.suppress(ServerUnavailable):
        api.start(api.deployments()["integrate"]["id"], key)


def unfreeze(reason: str) -> None:
    """Allow promotions again."""
    under_way.unfreeze(open_ledger_stack(), reason=reason, actor=who().actor)
