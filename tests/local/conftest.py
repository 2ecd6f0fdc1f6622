"""What the tests of `dartifact.local` start: commands in processes of their own, and programs that only pretend."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dartifact.local.lakefs_binary import find_binary
from tests.local.processes import Command

# A process that was started in the background by a shell ignores SIGINT, and so do its children unless told otherwise.
_PREAMBLE = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
def say(line):
    print(line, flush=True)
"""


@pytest.fixture
def start_command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Start Python code in a process of its own; it may wait for its end by reading stdin."""
    started: list[Command] = []

    def start(code: str, *arguments: object, **environment: str) -> Command:
        output = tmp_path / f"output-{len(started)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", _PREAMBLE + code, *map(str, arguments)],
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        started.append(Command(process, output))
        return started[-1]

    yield start
    for command in started:
        command.kill()
        assert command.process.stdin
        command.process.stdin.close()


@pytest.fixture
def write_program(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a shell script into the folder `bin`. It must name the tools it uses by their full paths."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture(scope="session")
def binary() -> Path:
    """Return the real server program; the first run on a machine builds it."""
    return find_binary(print)
