"""The verb `ui`."""

from __future__ import annotations

import os
import subprocess

from dartifact.cli.frame import print_progress
from dartifact.domain import errors
from dartifact.local.browser_ui import find_app, write_command, write_environment, write_url
from dartifact.local.lakefs_server import choose_port
from dartifact.settings import read_settings


def ui(port: int) -> None:
    """Serve the browser UI until it is ended."""
    settings = read_settings()
    app = find_app(settings.project)
    if app is None:
        raise errors.UsageError("this installation has no browser UI", hint="install the package dartifact anew")
    port = port or settings.ui_port or choose_port()
    print_progress(f"the browser UI is on {write_url(port)}; Ctrl-C ends it")
    places = {"DARTIFACT_PROJECT": str(settings.project.resolve()), "DARTIFACT_HOME": str(settings.home.resolve())}
    ended = subprocess.run(
        write_command(app, port, settings.ui_hosts),
        cwd=settings.project,
        env={**os.environ, **places, **write_environment(app)},
        check=False,
    )
    if ended.returncode:
        raise errors.ServerUnavailable(f"the browser UI has ended with code {ended.returncode}")
