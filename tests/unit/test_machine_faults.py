"""What the machine refuses is one line that says what to do, on the command line and in a flow."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

import pytest
from prefect.states import State

from dartifact.cli import app as cli
from dartifact.domain import errors
from dartifact.stations import runner

FULL = OSError(errno.ENOSPC, "No space left on device", "/data/ledger.db")


def raise_it(error: Exception) -> Callable[..., None]:
    def raise_it(*_: object, **__: object) -> None:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (FULL, "No space left on device: /data/ledger.db", "free disk space, or set DARTIFACT_HOME"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/home/x"),
            "Permission denied: /home/x",
            "make it writable",
        ),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system", "make it writable"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error", ""),
    ],
)
def test_a_fault_of_the_machine_is_one_line(error: OSError, message: str, hint: str) -> None:
    told = errors.describe_machine(error)
    assert (told.message, hint in str(told.hint)) == (message, True)


def test_the_command_line_ends_with_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["dartifact", "status"])
    monkeypatch.setattr(cli, "app", raise_it(FULL))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "dartifact: No space left on device: /data/ledger.db\n      try: free disk space, or set DARTIFACT_HOME\n"
    )


def test_a_bug_that_only_looks_like_one_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", raise_it(OSError("a library's own words")))
    with pytest.raises(OSError, match="a library's own words"):
        cli.main()


def test_a_flow_ends_as_failed_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_reveal", lambda: str)
    state = runner.ends_in_words(raise_it(FULL))()  # type: ignore[type-var, arg-type]
    assert isinstance(state, State)
    assert (state.is_failed(), state.message) == (
        True,
        "No space left on device: /data/ledger.db (try: free disk space, or set DARTIFACT_HOME)",
    )
