"""What a launcher asks of its Prefect server, by plain HTTP: the client library takes seconds to import."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

from dartifact.domain.errors import ServerUnavailable

POOL = "dartifact"
_OURS = "dartifact: crash "  # how the names of `zombies.json` begin

_TERMINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_UNDER_WAY = ["PENDING", "RUNNING", "CANCELLING"]
_PAGE = 200
# Its SQLite is locked now and then; nothing was done, the same call again will do.
_BUSY = frozenset({429, 502, 503})
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)

FlowRun = dict[str, Any]


class PrefectApi:
    """A Prefect server at its API URL; `key` is that of Prefect Cloud, `auth` a server's own word `name:secret`.

    ServerUnavailable when it does not answer, or refuses.
    """

    def __init__(self, url: str, key: str = "", *, auth: str = "") -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        name, _, secret = auth.partition(":")
        self._client = httpx.Client(
            base_url=url, headers=headers, auth=(name, secret) if auth else None, timeout=15, trust_env=bool(key)
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def make_pool(self, name: str, kind: str) -> None:
        """Create a work pool if there is none of that name; its worker brings the template of its jobs."""
        if self.pool_type(name) is None:
            self._send("POST", "/work_pools/", {"name": name, "type": kind})

    def pool_type(self, name: str) -> str | None:
        """Return the type of a work pool, None when there is none of that name."""
        answer = self._send("GET", f"/work_pools/{name}", missing_ok=True)
        return str(answer["type"]) if answer else None

    def count_workers(self, name: str) -> int:
        """Return how many workers of a pool are online."""
        found = self._send("POST", f"/work_pools/{name}/workers/filter", {"limit": _PAGE})
        return sum(each["status"] == "ONLINE" for each in found)

    def count_automations(self, beginning: str) -> int:
        """Return how many automations that are on have names which begin so."""
        found = self._send("POST", "/automations/filter", {"limit": _PAGE})
        return sum(each["enabled"] and each["name"].startswith(beginning) for each in found)

    def make_automation(self, automation: dict[str, Any]) -> None:
        """Create an automation if there is none of that name."""
        named = {"automations": {"name": {"any_": [automation["name"]]}}}
        if not self._send("POST", "/automations/filter", named):
            self._send("POST", "/automations/", automation)

    def deployments(self) -> dict[str, dict[str, Any]]:
        """Return the deployments by name."""
        found: list[dict[str, Any]] = self._send("POST", "/deployments/filter", {"limit": _PAGE})
        return {each["name"]: each for each in found}

    def pause(self, deployment_id: str, *, paused: bool) -> None:
        """Stop the schedules of a deployment, or let them go on; its runs can be started all the same."""
        self._send("POST", f"/deployments/{deployment_id}/{'pause' if paused else 'resume'}_deployment")

    def set_environment(self, deployment: Mapping[str, Any], **variables: str) -> None:
        """Let the flow runs of a deployment, whoever starts them, have these variables too; none: as it was read."""
        jobs = dict(deployment["job_variables"])
        jobs["env"] = {**jobs.get("env", {}), **variables}
        self._send("PATCH", f"/deployments/{deployment['id']}", {"job_variables": jobs})

    def start(self, deployment_id: str, key: str, env: Mapping[str, str] | None = None) -> str:
        """Start a deployment now, paused or not; return the id of the flow run, with the same key the same one.

        `env` is added to the environment of this one flow run.
        """
        body = {"state": {"type": "SCHEDULED"}, "idempotency_key": key, "job_variables": {"env": dict(env or {})}}
        return str(self._send("POST", f"/deployments/{deployment_id}/create_flow_run", body)["id"])

    def read_ended(self, flow_run_id: str) -> FlowRun | None:
        """Return a flow run that has ended, None while it has not."""
        run: FlowRun = self._send("GET", f"/flow_runs/{flow_run_id}")
        return run if run["state_type"] in _TERMINAL else None

    def under_way(self) -> list[FlowRun]:
        """Return the flow runs that a worker has taken and that have not ended."""
        return self._find({"state": {"type": {"any_": _UNDER_WAY}}, "deployment_id": {"is_null_": False}})

    def due(self) -> list[FlowRun]:
        """Return the flow runs whose time has come and that no worker has taken, the oldest first."""
        now = datetime.now(UTC).isoformat()
        return self._find(
            {
                "state": {"type": {"any_": ["SCHEDULED"]}},
                "expected_start_time": {"before_": now},
                "deployment_id": {"is_null_": False},
            }
        )

    def end(self, flow_run: FlowRun, state: str, message: str) -> None:
        """Put a flow run that nobody works on into a last state: CRASHED or CANCELLED."""
        body = {"state": {"type": state, "name": state.capitalize(), "message": message}, "force": True}
        self._send("POST", f"/flow_runs/{flow_run['id']}/set_state", body)

    def cancel_late(self, *, keep_oldest: bool) -> int:
        """Cancel scheduled runs that are overdue, of each deployment all or all but the oldest; return how many.

        The oldest keeps its place in the queue, and does what the others would have done.
        """
        waiting: set[str] = set()
        cancelled = 0
        for each in self.due():
            if not each["auto_scheduled"]:
                continue
            if keep_oldest and each["deployment_id"] not in waiting:
                waiting.add(each["deployment_id"])
                continue
            why = "an earlier run of it is waiting" if keep_oldest else "missed while the machines were down"
            self.end(each, "CANCELLED", f"late: {why}")
            cancelled += 1
        return cancelled

    def crash_dead(self, alive: Collection[str], *, older_than: float) -> int:
        """Mark as Crashed what is said to run but has no process; return how many."""
        crashed = 0
        for each in self.under_way():
            changed = datetime.fromisoformat(each["state"]["timestamp"].replace("Z", "+00:00"))
            if each["id"] not in alive and (datetime.now(UTC) - changed).total_seconds() > older_than:
                self.end(each, "CRASHED", "its process is gone")
                crashed += 1
        return crashed

    def free_slots(self) -> None:
        """Take back the slots that runs of a killed server or worker still hold; only while no flow runs."""
        for each in self._send("POST", "/v2/concurrency_limits/filter", {"limit": _PAGE}):
            if each["active_slots"]:
                self._send("PATCH", f"/v2/concurrency_limits/{each['name']}", {"active_slots": 0})

    def _find(self, flow_runs: dict[str, Any]) -> list[FlowRun]:
        found: list[FlowRun] = []
        while True:
            body = {"flow_runs": flow_runs, "sort": "EXPECTED_START_TIME_ASC", "limit": _PAGE, "offset": len(found)}
            page: list[FlowRun] = self._send("POST", "/flow_runs/filter", body)
            found += page
            if len(page) < _PAGE:
                return found

    def _take_token(self) -> None:
        """Get the token that a server which checks for forged requests asks for with each change."""
        client = str(uuid4())
        token = self._send("GET", f"/csrf-token?client={client}")["token"]
        self._client.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client})

    def _send(self, method: str, path: str, body: Any = None, *, missing_ok: bool = False) -> Any:
        for pause in (*_PAUSES, None):
            try:
                answer = self._client.request(method, path, json=body)
            except httpx.HTTPError as error:
                raise ServerUnavailable(f"the Prefect server at {self.url} does not answer: {error}") from error
            if answer.status_code == httpx.codes.FORBIDDEN and pause is not None and "CSRF" in answer.text:
                self._take_token()
                continue
            if answer.status_code not in _BUSY or pause is None:
                break
            time.sleep(pause)
        if missing_ok and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise ServerUnavailable(f"the Prefect server refused {method} {path}: {answer.status_code}")
        return answer.json() if answer.content else None


@dataclass(frozen=True, slots=True)
class FoundPool:
    """The API that deployments would go to, and what of ours is there; `fault` says why it could not be asked."""

    api_url: str
    pool_type: str | None = None
    workers: int = 0
    automations: int = 0
    fault: str = ""


def find_pool(up_url: str, pool: str, *, auth: str = "") -> FoundPool | None:
    """Return the API that deployments would go to with the pool there; None when no API is set.

    That is the server of `dartifact up` if it runs, else what Prefect's own settings name.
    """
    url, key = up_url, ""
    if not url:
        from prefect.settings import get_current_settings  # noqa: PLC0415  (seconds)

        api = get_current_settings().api
        url, key = api.url or "", api.key.get_secret_value() if api.key else ""
        auth = api.auth_string.get_secret_value() if api.auth_string else ""
    if not url:
        return None
    server = PrefectApi(url, key, auth=auth)
    try:
        kind = server.pool_type(pool)
        workers = server.count_workers(pool) if kind else 0
        return FoundPool(url, kind, workers, server.count_automations(_OURS) if kind else 0)
    except ServerUnavailable as error:
        return FoundPool(url, fault=error.message)
    finally:
        server.close()
