"""What was examined and found as text: what the doctor looked at, the files of checks/."""

from __future__ import annotations

from collections.abc import Iterable


def format_findings(findings: Iterable[tuple[bool, str, str, str]]) -> str:
    """Return findings, each (whether it is well, what was examined, what was found, what to try)."""
    lines = []
    for ok, what, found, advice in findings:
        lines.append(f"{'ok' if ok else 'FAIL':<4} {what}: {found}")
        if advice:
            lines.append(f"{'':<6}try: {advice}")
    return "\n".join(lines)
