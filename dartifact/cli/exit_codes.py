"""The exit codes of the verbs."""

from __future__ import annotations

from dartifact.domain import errors

# Checked against README by a test.
EXIT_CODES = {
    0: "ok",
    1: "usage or internal error",
    2: "there are differences",
    3: "checks failed",
    4: "checks could not run",
    5: "policy or approval missing",
    6: "conflict or locked: retry",
    7: "aborted and rolled back",
}
DIFFERENT, CHECKS_FAILED, NOT_CHECKED, NOT_ALLOWED = 2, 3, 4, 5
_EXIT_BY_ERROR: tuple[tuple[type[errors.DartifactError], int], ...] = (
    (errors.ChecksFailed, CHECKS_FAILED),
    (errors.ChecksErrored, NOT_CHECKED),
    (errors.ServerUnavailable, NOT_CHECKED),
    (errors.PolicyRefused, 5),
    (errors.LakeRefused, 5),
    (errors.Conflict, 6),
    (errors.Aborted, 7),
)


def exit_code(error: errors.DartifactError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in _EXIT_BY_ERROR if isinstance(error, kind)), 1)
