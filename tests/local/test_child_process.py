from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from dartifact.local.child_process import running_child
from dartifact.local.lakefs_endpoint import is_alive
from tests.local.processes import wait_until


def test_a_child_that_ignores_the_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; sleep 600 & echo > {ready}; wait"
    with running_child(
        ["/bin/sh", "-c", script], cwd=tmp_path, env=os.environ, output=subprocess.DEVNULL, grace=0.1
    ) as child:
        wait_until(ready.exists)
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children()]
    assert len(family) == 2
    wait_until(lambda: not any(is_alive(process) for process in family))


def test_a_child_that_has_ended_is_left_alone(tmp_path: Path) -> None:
    with running_child(["/bin/sh", "-c", "exit 3"], cwd=tmp_path, env={}, output=subprocess.DEVNULL) as child:
        assert child.wait(60) == 3
    assert child.returncode == 3


def test_a_child_that_cannot_be_started_raises(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        running_child([tmp_path / "missing"], cwd=tmp_path, env={}, output=subprocess.DEVNULL),
    ):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="a death signal is what only Linux has")
def test_a_child_whose_parent_died_first_does_not_start(start_command: Any) -> None:
    # The first fork is the parent that is there; the second looks for a parent that is not there any more.
    command = start_command("""
import os
from dartifact.local.child_process import _death_signal
end_with_parent = _death_signal()
for generation in ("child", "grandchild"):
    if os.fork():
        say(f"{generation} {os.waitstatus_to_exitcode(os.wait()[1])}")
        os._exit(0)
    end_with_parent()
""")
    assert command.end() == 0
    assert sorted(command.printed().splitlines()) == ["child 0", "grandchild 1"]
