"""Where a lakeFS server is, and the proof that it is there."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a lakeFS server, and its one key."""

    url: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


def find_fault(
    endpoint: Endpoint,
    process: psutil.Process,
    patience: float,
    serves_port: Callable[[psutil.Process, int | None], bool] | None = None,
) -> str:
    """Wait until the process serves the endpoint, is healthy and takes the key; return what is wrong, or nothing.

    `serves_port` tells whether the port is the process's; by default, whether the process itself listens there.
    """
    deadline, fault = time.monotonic() + patience, "does not answer"
    pair = f"{endpoint.access_key_id}:{endpoint.secret_access_key}".encode()
    key = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    while time.monotonic() < deadline:
        if not is_alive(process):
            return "has ended"
        # Asked first, so that the key never goes to a stranger who took the port before our server bound it.
        if (serves_port or _listens)(process, urlsplit(endpoint.url).port):
            try:
                if _get(endpoint, "/_health", {}) == http.HTTPStatus.OK:
                    answer = _get(endpoint, "/api/v1/user", key)
                    if answer == http.HTTPStatus.OK:
                        return ""
                    fault = f"answers {answer} to the key {endpoint.access_key_id}"
            except (OSError, http.client.HTTPException):
                fault = "does not answer"
        time.sleep(_POLL_SECONDS)
    return fault


def is_alive(process: psutil.Process) -> bool:
    """Tell whether the process runs; one that has ended and is only not reaped yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _listens(process: psutil.Process, port: int | None) -> bool:
    try:
        connections = process.net_connections("tcp4")
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def _get(endpoint: Endpoint, path: str, headers: dict[str, str]) -> int:
    """Return the status code of a GET; never through a proxy, which has nothing to do with loopback."""
    connection = http.client.HTTPConnection(urlsplit(endpoint.url).netloc, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()
