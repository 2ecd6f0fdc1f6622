"""The browser UI as a child process: the app of the project, else the one that comes with the engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dartifact.local.lakefs_server import choose_port
from dartifact.local.services import ChildService
from dartifact.reference import find_reference

_APP = Path("ui", "app.py")
_FLAGS = (
    "--server.address=127.0.0.1",
    "--server.allowedHosts=127.0.0.1",
    "--server.allowedHosts=localhost",
    "--client.allowedOrigins=http://127.0.0.1",  # nobody else's page may hold this one in a frame and steer it
    "--server.headless=true",
    "--browser.gatherUsageStats=false",
    "--client.toolbarMode=minimal",
    "--client.disableDataExport=true",  # the buttons of the pages write CSV that holds no formulas
    "--client.showErrorDetails=none",
    "--server.maxUploadSize=200",
)


def find_app(project: Path) -> Path | None:
    """Return the app to run; None where there is none."""
    apps = (folder / _APP for folder in (project, find_reference()))
    return next((app.resolve() for app in apps if app.is_file()), None)


def write_command(app: Path, port: int, hosts: Sequence[str] = ()) -> Sequence[str]:
    """Write the command that serves an app on loopback; `hosts` are the names by which a proxy may ask for it."""
    names = [f"--server.allowedHosts={host}" for host in hosts]
    return [sys.executable, "-m", "streamlit", "run", str(app), f"--server.port={port}", *_FLAGS, *names]


def write_environment(app: Path) -> dict[str, str]:
    """Return what the app's process needs beside the caller's environment: it alone imports the app's package `ui`."""
    paths = [str(app.parent.parent), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def write_url(port: int) -> str:
    """Return where the app answers, base path included."""
    base = os.environ.get("STREAMLIT_SERVER_BASE_URL_PATH", "").strip("/")
    return f"http://127.0.0.1:{port}" + (f"/{base}" if base else "")


def make_ui(
    app: Path,
    project: Path,
    env: Mapping[str, str],
    log_file: Path,
    is_stopping: Callable[[], bool],
    *,
    port: int = 0,
    hosts: Sequence[str] = (),
) -> ChildService:
    """Return the UI as a service of a launcher; `env` is what it needs of the launcher's settings.

    Without a port it takes a free one; `hosts` as in `write_command`.
    """
    port = port or choose_port()
    url = write_url(port)
    return ChildService(
        name="UI",
        command=write_command(app, port, hosts),
        env={**os.environ, **env, **write_environment(app)},
        cwd=project,
        log_file=log_file,
        health=f"{url}/_stcore/health",
        where=url,
        is_stopping=is_stopping,
    )
