"""The merge queue as text."""

from __future__ import annotations

from dartifact.commands.queue.integrate import Integration


def format_integration(done: Integration) -> str:
    """Return what became of the merge queue."""
    names = {
        "merged": done.merged,
        "reverted": done.reverted,
        "failed": done.failed,
        "held": done.held,
        "waiting, in order": done.waiting,
    }
    lines = [f"{outcome}: {', '.join(run_ids)}" for outcome, run_ids in names.items() if run_ids]
    if done.merged or done.reverted:
        lines.append("next: dartifact stage")
    return "\n".join(lines) or "the merge queue is empty"
