"""`dartifact up` as a process under test, seen from outside: its note, its ledger, its Prefect server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.demo.server import simulated_sources
from dartifact.demo.stand_in import company_file
from dartifact.domain.plans import PromotionState
from dartifact.local.guard import find_marked
from dartifact.local.note import Note, read_note
from dartifact.local.prefect_api import PrefectApi
from dartifact.local.prefect_auth import read_auth
from dartifact.settings import Settings, read_settings
from tests.support.waiting import wait_until

# A server on a machine that starts a dozen processes answers when it is its turn; nothing here is about how fast.
PATIENCE = 120.0
# Each look is a query to a server, or opens a ledger, on the cores on which the flow runs are to get on.
_LOOK_EVERY = 0.5


def ask_prefect(api: PrefectApi, path: str, body: Any) -> Any:
    """Post to a Prefect server and return what it answers."""
    return api._send("POST", f"/{path}", body)


@dataclass
class Up:
    """One `dartifact up` in a home."""

    home: Path
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def settings(self) -> Settings:
        """Return the settings of its home."""
        return read_settings(home=self.home)

    @property
    def note(self) -> Note:
        """Return what it says that it runs."""
        note = read_note(self.home)
        assert note is not None, self.printed()
        return note

    @property
    def prefect(self) -> PrefectApi:
        """Return its Prefect server."""
        api = PrefectApi(self.note.api_url, auth=read_auth(self.home))
        api._client.timeout = httpx.Timeout(PATIENCE)
        return api

    def printed(self) -> str:
        """Return what it has printed."""
        return self.output.read_text(encoding="utf-8")

    def wait_for(self, condition: Callable[[], object], seconds: float = 600) -> None:
        """Wait for something that it does; AssertionError with what it has printed when it ends or does not."""

        def holds() -> object:
            assert self.process.poll() is None, self.printed()
            return condition()

        try:
            wait_until(holds, seconds, every=_LOOK_EVERY)
        except AssertionError as error:
            raise AssertionError(self.printed()) from error

    def part(self, name: str) -> int:
        """Return the process of a part."""
        return next(each.pid for each in self.note.parts if each.name == name)

    def where(self, name: str) -> str:
        """Return where a part answers."""
        return next(each.where for each in self.note.parts if each.name == name)

    def kill_part(self, name: str) -> None:
        """Kill a part as the kernel does when memory is short, and wait until it is back."""
        before = self.part(name)
        os.kill(before, signal.SIGKILL)
        self.wait_for(lambda: self.part(name) not in (0, before) and self.printed().count(f"{name} is back"))

    def order_fault(self, dataset: str, kind: str) -> None:
        """Let the simulated company make its next batch of a dataset bad in a named way."""
        body = {"fault": {"dataset": dataset, "kind": kind}}
        url = f"{self.where('simulated company')}/control"
        httpx.post(url, json=body, timeout=PATIENCE, trust_env=False).raise_for_status()

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Open its ledger."""
        ledger = Ledger(self.settings.ledger)
        try:
            yield ledger
        finally:
            ledger.close()

    def promotions_done(self) -> int:
        """Count the promotions that have ended well."""
        with self.ledger() as ledger:
            return len(ledger.promotions(state=PromotionState.DONE, most=10_000))

    def wait_for_promotion(self) -> None:
        """Wait until something newer than now is live."""
        before = self.promotions_done()
        self.wait_for(lambda: self.promotions_done() > before)

    def find(self, what: str, **filters: Any) -> list[dict[str, Any]]:
        """Return flow runs, task runs or artifacts of the Prefect server."""
        body = {"limit": 200, **({what: filters} if filters else {})}
        found: list[dict[str, Any]] = ask_prefect(self.prefect, f"{what}/filter", body)
        return found

    def stop(self) -> int:
        """Tell it to stop; return its exit code."""
        self.process.terminate()
        return self.process.wait(90)

    def kill(self) -> None:
        """Kill it, and wait until what it ran has ended too."""
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not find_marked(self.home))


def begin_demo(home: Path) -> None:
    """Give a home a simulated company: in no other one is a source without a URL asked of it."""
    with simulated_sources(company_file(home)):
        pass


def start_up(home: Path, *, every: int, wait: bool = True) -> Up:
    """Start `dartifact up` in a home of a demo and wait until everything is up."""
    begin_demo(home)
    output = home.parent / f"{home.name}.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dartifact", "up", "--every", str(every)],
            env={**os.environ, "DARTIFACT_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    up = Up(home, process, output)
    if wait:
        up.wait_for(lambda: "up after" in up.printed())
    return up


def run_cli(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of the CLI in a home."""
    return subprocess.run(
        [sys.executable, "-m", "dartifact", *arguments],
        env={**os.environ, "DARTIFACT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def read_json(home: Path, *arguments: str) -> Any:
    """Run a verb and read the document that it answers."""
    answer = run_cli(home, *arguments, "--output", "json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)
