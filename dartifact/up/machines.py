"""The machines of one home: everything that `dartifact up` runs, built from the settings and kept running."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil

from dartifact.domain.errors import ServerUnavailable
from dartifact.domain.progress import Progress
from dartifact.local import lakefs_files
from dartifact.local.browser_ui import find_app, make_ui
from dartifact.local.guard import end_processes, find_marked
from dartifact.local.launcher import Launcher
from dartifact.local.note import Note
from dartifact.local.prefect_api import PrefectApi
from dartifact.local.prefect_parts import PrefectParts, flow_run_of, make_parts
from dartifact.local.services import SourceService
from dartifact.project import list_source_names
from dartifact.settings import Settings
from dartifact.wiring import no_url, open_access

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
class Machines:
    """What runs: `stand_in` serves the sources without a URL; `advances` lets its clock move with real time."""

    settings: Settings
    launcher: Launcher
    progress: Progress
    stand_in: SourceService | None = None
    advances: bool = True
    parts: PrefectParts = field(init=False)
    api: PrefectApi = field(init=False)

    def bring_up(self) -> Note:
        """Start everything in order; ServerUnavailable names the log of what did not start."""
        home = self.settings.home.resolve()
        env = {
            "DARTIFACT_PROJECT": str(self.settings.project.resolve()),
            "DARTIFACT_HOME": str(home),
            "DARTIFACT_INGEST_SECONDS": str(self.settings.ingest_seconds),
        }
        if self.stand_in is not None:
            self.launcher.start(self.stand_in)
            env |= self.stand_in.environment(self.settings.source_urls)
        self.parts = make_parts(home, self.settings.project, env, self.launcher.stopping.is_set, limit=LIMIT)
        self.launcher.api_url = self.parts.api_url
        self.launcher.on_end, self.launcher.on_restart = self._clear_up, self._tell_restart
        self.api = PrefectApi(self.parts.api_url, auth=self.parts.auth)
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
        if self.stand_in is not None:
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
        """Let the sources' time and the schedules go on, or hold them; what is started by hand runs all the same."""
        self.advances = on
        for each in self.api.deployments().values():
            if bool(each["paused"]) is on:
                self.api.pause(each["id"], paused=not on)

    def _start_ui(self) -> None:
        app = find_app(self.settings.project)
        if app is None or importlib.util.find_spec("streamlit") is None:
            self.progress("the browser UI is not installed: going on without it")
            return
        env = {**self.parts.env, "PREFECT_API_URL": self.parts.api_url, "PREFECT_API_AUTH_STRING": self.parts.auth}
        self.launcher.start(
            make_ui(
                app,
                self.settings.project,
                env,
                self.parts.home / "logs" / "ui.log",
                self.launcher.stopping.is_set,
                port=self.settings.ui_port,
                hosts=self.settings.ui_hosts,
            )
        )

    def _advance(self) -> None:
        if self.stand_in is not None and self.advances:
            self.stand_in.advance()

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


def require_urls(settings: Settings) -> None:
    """Raise UsageError unless each source of the project has a URL."""
    if unset := [name for name in list_source_names(settings.project) if name not in settings.source_urls]:
        raise no_url(unset)


def _digest_deployments(settings: Settings) -> str:
    """Digest all that `prefect deploy` reads: the file, the flows it names, the settings in it."""
    files = [settings.project / "prefect.yaml", *sorted((settings.project / "flows").glob("*.py"))]
    digest = hashlib.sha256(f"{settings.project.resolve()} {settings.ingest_seconds} {settings.image}".encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()
