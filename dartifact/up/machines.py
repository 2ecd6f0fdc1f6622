"""The machines of one home: everything that `dartifact up` runs, built from the settings and kept running."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dartifact.demo.company import CompanyState
from dartifact.demo.records import DATASETS
from dartifact.demo.server import SimulatedSources, simulated_sources
from dartifact.domain.errors import ServerUnavailable
from dartifact.local import lakefs_files
from dartifact.local.guard import end_processes, find_marked
from dartifact.local.lakefs_server import choose_port
from dartifact.local.launcher import Launcher
from dartifact.local.note import Note
from dartifact.local.prefect_api import PrefectApi
from dartifact.local.prefect_parts import PrefectParts, flow_run_of, make_parts
from dartifact.local.services import ChildService
from dartifact.settings import Settings, write_cron
from dartifact.wiring import open_access

Progress = Callable[[str], None]

LIMIT = max(2, os.cpu_count() or 2) + 1  # a flow run waits about as much as it computes
_RECONCILE_SECONDS = 10.0
_DEAD_SECONDS = 20.0


@dataclass
class LakeService:
    """The lakeFS server of the home, for as long as the launcher runs."""

    settings: Settings
    progress: Progress
    name: str = "lakeFS"
    where: str = ""
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def _files(self) -> lakefs_files.LakefsFiles:
        return lakefs_files.LakefsFiles(self.settings.home.resolve() / "lakefs")

    @property
    def pid(self) -> int:
        """Return the server's pid."""
        note = lakefs_files.read_note(self._files)
        return note.pid if note else 0

    @property
    def log(self) -> str:
        """Return the path of its log."""
        return str(self._files.log)

    def start(self) -> None:
        """Start the server."""
        self.where = self._running.enter_context(open_access(self.settings, self.progress)).url

    def find_fault(self) -> str:
        """Say whether the server has ended."""
        note = lakefs_files.read_note(self._files)
        return "" if note and lakefs_files.find_process(self._files, note) else "has ended"

    def stop(self) -> None:
        """Stop the server."""
        self._running.close()


@dataclass
class CompanyService:
    """The simulated company, in a thread of the launcher."""

    state_file: Path
    initial: CompanyState | None = None
    name: str = "simulated company"
    pid: int = 0
    log: str = ""
    company: SimulatedSources | None = None
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def where(self) -> str:
        """Return its URL."""
        return self.company.url if self.company else ""

    def start(self) -> None:
        """Serve it."""
        initial = None if self.state_file.exists() else self.initial
        self.company = self._running.enter_context(simulated_sources(self.state_file, initial=initial))

    def find_fault(self) -> str:
        """It lives and dies with the launcher."""
        return ""

    def stop(self) -> None:
        """Stop serving."""
        self._running.close()


@dataclass
class Machines:
    """What runs: `company` is None where all sources have URLs; `advances` lets its clock move with real time."""

    settings: Settings
    launcher: Launcher
    progress: Progress
    company: SimulatedSources | None = None
    advances: bool = True
    parts: PrefectParts = field(init=False)
    api: PrefectApi = field(init=False)

    def bring_up(self, initial: CompanyState | None = None) -> Note:
        """Start everything in order; ServerUnavailable names the log of what did not start."""
        write_cron(self.settings.ingest_seconds)
        home, env = self.settings.home.resolve(), {"DARTIFACT_HOME": str(self.settings.home.resolve())}
        env["DARTIFACT_INGEST_SECONDS"] = str(self.settings.ingest_seconds)
        unset = [each for each in DATASETS if each not in self.settings.source_urls]
        if unset:
            service = CompanyService(home / "demo" / "company.json", initial)
            self.launcher.start(service)
            self.company = service.company
            assert self.company
            env |= _name_sources(self.company, self.settings.source_urls)
        self.parts = make_parts(home, self.settings.project, env, self.launcher.stopping.is_set, limit=LIMIT)
        self.launcher.api_url = self.parts.api_url
        self.launcher.on_end, self.launcher.on_restart = self._clear_up, self._tell_restart
        self.api = PrefectApi(self.parts.api_url)
        server = self.parts.server()
        if not self.settings.lake_url:
            self.launcher.start(LakeService(self.settings, self.progress))
        self.progress("starting the Prefect server")
        self.launcher.start(server)
        self._begin_anew()
        self.progress("deploying prefect.yaml, starting the worker")
        self._deploy()  # before the worker: its first flow runs would compete with it
        self._advance()  # so that the first runs have something to bring
        self.launcher.start(self.parts.worker())
        self._start_ui()
        return self.launcher.announce("ready")

    def run(self, tell: Callable[[], None]) -> None:
        """Keep everything running until told to stop; `tell` is called every half second."""
        every = [(0.5, tell), (_RECONCILE_SECONDS, self.reconcile)]
        if self.company is not None:
            every.append((float(self.settings.ingest_seconds), self._advance))
        self.launcher.watch(every)

    def reconcile(self) -> None:
        """End what Prefect believes to run and has no process; of overdue runs keep one per deployment."""
        try:
            crashed = self.api.crash_dead(self._alive(), older_than=_DEAD_SECONDS)
            self.api.cancel_late(keep_oldest=True)
        except ServerUnavailable:
            return  # it is being started again
        if crashed:
            self.progress(f"{crashed} flow runs had no process any more: marked as Crashed")

    def _begin_anew(self) -> None:
        """Clear what an earlier life of these machines has left in Prefect; nothing runs now."""
        self.api.make_pool(self.parts.pool, self.parts.pool_type)
        crashed = self.api.crash_dead((), older_than=0)
        late = self.api.cancel_late(keep_oldest=False)
        self.api.free_slots()
        if crashed or late:
            self.progress(f"{crashed} flow runs of an earlier up are marked as Crashed, {late} late ones are cancelled")

    def _deploy(self) -> None:
        mark = self.parts.home / "prefect" / "deployed"
        digest = _digest_deployments(self.settings)
        if not mark.exists() or mark.read_text(encoding="utf-8") != digest or not self.api.deployments():
            self.parts.deploy(self.api)
            mark.write_text(digest, encoding="utf-8")
        self.schedule(on=self.advances)

    def schedule(self, *, on: bool) -> None:
        """Let the company's time and the schedules go on, or hold them; what is started by hand runs all the same."""
        self.advances = on
        for each in self.api.deployments().values():
            if bool(each["paused"]) is on:
                self.api.pause(each["id"], paused=not on)

    def _start_ui(self) -> None:
        app = self.settings.project / "ui" / "app.py"
        if not app.is_file() or importlib.util.find_spec("streamlit") is None:
            self.progress("the browser UI is not installed: going on without it")
            return
        port = choose_port()
        flags = ["--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true"]
        flags += ["--browser.gatherUsageStats=false", "--client.toolbarMode=minimal"]
        base = os.environ.get("STREAMLIT_SERVER_BASE_URL_PATH", "").strip("/")
        url = f"http://127.0.0.1:{port}" + (f"/{base}" if base else "")
        self.launcher.start(
            ChildService(
                "UI",
                [sys.executable, "-m", "streamlit", "run", str(app), *flags],
                {**os.environ, **self.parts.env, "PREFECT_API_URL": self.parts.api_url},
                self.settings.project,
                self.parts.home / "logs" / "ui.log",
                f"{url}/_stcore/health",
                url,
                self.launcher.stopping.is_set,
            )
        )

    def _advance(self) -> None:
        if self.company is not None and self.advances:
            self.company.advance()

    def _alive(self) -> set[str]:
        return {run for run in (flow_run_of(each) for each in self._marked()) if run}

    def _marked(self) -> list[psutil.Process]:
        return find_marked(self.parts.home)

    def _clear_up(self, name: str) -> None:
        """End the flow runs of a worker that has ended: nobody could cancel or count them any more."""
        if name != "worker":
            return
        end_processes(each for each in self._marked() if flow_run_of(each))
        try:
            crashed = self.api.crash_dead((), older_than=0)
        except ServerUnavailable:
            return  # `reconcile` does it later
        self.progress(f"{crashed} flow runs ended with the worker: marked as Crashed")

    def _tell_restart(self, name: str) -> None:
        self.reconcile()


def _name_sources(company: SimulatedSources, given: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that lead flow runs to the company where nothing else is set."""
    reached = {each: company.access(each) for each in DATASETS if each not in given}
    env = {"DARTIFACT_SOURCE_URLS": json.dumps({each: access.url for each, access in reached.items()} | dict(given))}
    for access in reached.values():
        if access.client_id:
            env["DARTIFACT_SALESFORCE_CLIENT_ID"] = access.client_id
            env["DARTIFACT_SALESFORCE_CLIENT_SECRET"] = access.client_secret
        if access.ca_file:
            env["DARTIFACT_SALESFORCE_CA_FILE"] = str(access.ca_file)
    return env


def _digest_deployments(settings: Settings) -> str:
    """Digest all that `prefect deploy` reads: the file, the flows it names, the settings in it."""
    files = [settings.project / "prefect.yaml", *sorted((settings.project / "flows").glob("*.py"))]
    digest = hashlib.sha256(f"{settings.ingest_seconds} {settings.image}".encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()
