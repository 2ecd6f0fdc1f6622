"""The Prefect server and worker of one machine: how they are started, and what is set up in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from dartifact.domain.errors import ServerUnavailable
from dartifact.local.lakefs_files import last_lines
from dartifact.local.lakefs_server import choose_port
from dartifact.local.prefect_api import POOL, PrefectApi
from dartifact.local.prefect_auth import load_auth
from dartifact.local.services import ChildService

POOL_TYPE = "process"
_ZOMBIES = Path(__file__).with_name("zombies.json")
RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
# Of the caller's own Prefect settings these would lead somewhere else than to the server of this machine.
_FOREIGN = (
    "PREFECT_API_",
    "PREFECT_CLIENT_CSRF_",
    "PREFECT_PROFILE",
    "PREFECT_SERVER_API_",
    "PREFECT_SERVER_CORS_",
    "PREFECT_SERVER_CSRF_",
    "PREFECT_SERVER_DATABASE_",
    "PREFECT__",
)


@dataclass(frozen=True)
class PrefectParts:
    """What a launcher runs of Prefect in a home; `project` holds `prefect.yaml`, `env` goes to the flow runs."""

    home: Path
    project: Path
    env: Mapping[str, str]
    is_stopping: Callable[[], bool]
    limit: int
    server_port: int
    worker_port: int
    auth: str = field(repr=False)
    pool: str = POOL
    pool_type: str = POOL_TYPE

    @property
    def url(self) -> str:
        """Return the server's address, which is also that of its UI."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def api_url(self) -> str:
        """Return the API's URL."""
        return f"{self.url}/api"

    def server(self) -> ChildService:
        """Return the server."""
        port = str(self.server_port)
        return ChildService(
            "Prefect server",
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port],
            self._environment()
            | {
                "PREFECT_LOGGING_LEVEL": "WARNING",
                "PREFECT_SERVER_API_AUTH_STRING": self.auth,
                "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": self.url,
                "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
            },
            self.home / "prefect",
            self.home / "logs" / "prefect-server.log",
            f"{self.api_url}/health",
            self.url,
            self.is_stopping,
        )

    def worker(self) -> ChildService:
        """Return the worker."""
        start = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", "dartifact-up"]
        return ChildService(
            "worker",
            [*start, "--limit", str(self.limit), "--with-healthcheck"],
            self._environment()
            | {
                "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
                "PREFECT_WORKER_WEBSERVER_PORT": str(self.worker_port),
                "PREFECT_WORKER_QUERY_SECONDS": "1",
                # A run is not taken before its time: it would hold a slot, or meet the one it is to come after.
                "PREFECT_WORKER_PREFETCH_SECONDS": "1",
            },
            self.project,
            self.home / "logs" / "worker.log",
            f"http://127.0.0.1:{self.worker_port}/health",
            f"pool {POOL}, at most {self.limit} flow runs at once",
            self.is_stopping,
        )

    def deploy(self, api: PrefectApi) -> None:
        """Deploy `prefect.yaml`, and have runs marked as Crashed that have lost their process."""
        for automation in json.loads(_ZOMBIES.read_text(encoding="utf-8"))["automations"]:
            api.make_automation(automation)
        self._run("--no-prompt", "deploy", "--all")
        declared = yaml.safe_load((self.project / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
        if missing := {each["name"] for each in declared} - set(api.deployments()):
            # it says what it refuses, and ends with 0
            raise self._refused("prefect deploy --all", f"did not deploy {', '.join(sorted(missing))}")

    def _run(self, *arguments: str) -> None:
        with self._deploy_log.open("ab") as log:
            code = subprocess.run(
                [sys.executable, "-m", "prefect", *arguments],
                cwd=self.project,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the launcher alone
                check=False,
                timeout=180,
            ).returncode
        if code:
            raise self._refused(f"prefect {' '.join(arguments)}", f"ended with code {code}")

    @property
    def _deploy_log(self) -> Path:
        return self.home / "logs" / "deploy.log"

    def _refused(self, what: str, how: str) -> ServerUnavailable:
        end = "\n".join(f"    {line}" for line in last_lines(self._deploy_log))
        return ServerUnavailable(f"`{what}` {how}; its log is {self._deploy_log}, ending with:\n{end}")

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        own = {
            "PREFECT_HOME": str(self.home / "prefect"),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": self.auth,
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # In memory they would be lost with the server, and the slots they hold taken for ever.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            # A week of flow runs is kept; the ledger has the rest.
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "604800",
            "DO_NOT_TRACK": "1",
        }
        return {**kept, **self.env, **own}


def make_parts(
    home: Path, project: Path, env: Mapping[str, str], is_stopping: Callable[[], bool], *, limit: int
) -> PrefectParts:
    """Choose the ports; they stay the same when a part has to be started again."""
    (home / "prefect").mkdir(parents=True, exist_ok=True)
    (home / "logs").mkdir(parents=True, exist_ok=True)
    return PrefectParts(home, project, env, is_stopping, limit, choose_port(), choose_port(), load_auth(home))


def flow_run_of(process: psutil.Process) -> str | None:
    """Return the id of the flow run that a process works on; None when it works on none, or has ended."""
    try:
        return process.environ().get(RUN_VARIABLE)
    except (psutil.Error, OSError):
        return None
