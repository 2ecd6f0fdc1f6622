"""The handle of the process dbt runs in: start it, ask it, see it die, end it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any


class WorkerGone(Exception):
    """The process ended. `begun` tells whether it had taken the request; the message holds its last words."""

    def __init__(self, begun: bool, last_words: str) -> None:
        super().__init__(last_words)
        self.begun = begun


class Worker:
    """One process of `dbt_worker`, and the thread that starts it, reads it and waits for its end.

    The thread lives as long as the process does: on Linux the process dies with the *thread* that started it, and a
    caller's may end long before.
    """

    def __init__(self, project_dir: Path, work_dir: Path) -> None:
        self._command = [
            sys.executable,
            "-P",
            "-m",
            "dartifact.adapters.transform.dbt_worker",
            str(project_dir),
            str(work_dir),
        ]
        self._home = tempfile.TemporaryDirectory(dir=work_dir, prefix="dbt-worker-", ignore_cleanup_errors=True)
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._last_words = ""
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dbt-worker", daemon=True)
        self._thread.start()
        self._started.wait()

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def send(self, request: dict[str, Any]) -> None:
        """Hand over a request. That a process is gone is said by `receive`."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError, ValueError):
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()

    def receive(self, request_id: int, deadline: float) -> dict[str, Any]:
        """Wait for the answer to a request until a time.monotonic(); raise WorkerGone or TimeoutError."""
        begun = False
        try:
            while (answer := self._answers.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
                if answer["id"] != request_id:
                    continue
                if "begun" not in answer:
                    return answer
                begun = True
        except queue.Empty:
            raise TimeoutError from None
        raise WorkerGone(begun, self._last_words)

    def stop(self, patience: float = 0.0) -> None:
        """End the process, kindly within `patience` seconds, and return when it is gone."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
            self._process.kill()
        self._thread.join()

    def _run(self) -> None:
        log = Path(self._home.name) / "worker.log"
        try:
            with log.open("wb") as errors:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=self._home.name,
                    env=worker_environment(),
                    start_new_session=True,
                )
            self._started.set()
            self._read(self._process)
            words = " ".join(log.read_text(encoding="utf-8", errors="replace").split())
            self._last_words = f"status {self._process.returncode} {words[-400:]}".strip()
        except OSError as error:
            self._last_words = str(error)
        finally:
            self._home.cleanup()
            self._answers.put(None)
            self._started.set()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                self._answers.put(json.loads(line))


def worker_environment() -> dict[str, str]:
    """Return this process's environment without what would change or slow down a build.

    dbt reads its flags from DBT_*, and what is built must be a matter of the project alone; a project's own variables
    are those named DBT_ENV_*.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DBT_") or key.startswith("DBT_ENV_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}
