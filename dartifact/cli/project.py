"""Verbs about a project as a whole: write a new one, show it in the browser."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import typer

from dartifact.cli.frame import Output, OutputOption, answer, say
from dartifact.domain import errors


def add_verbs(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    app.command()(init)
    app.command()(ui)


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="where; default here")] = Path(),
    example: Annotated[bool, typer.Option("--example", help="with the orders of a simulated company")] = False,
    ui: Annotated[bool, typer.Option("--ui", help="with the pages of the browser UI, to change them")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write a new project: sources, checks, models, deployments and a test of its own."""
    from dartifact.new_project import write_project  # noqa: PLC0415

    written = write_project(folder, example=example, ui=ui)
    enter = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    following = "dartifact demo --once" if example else "dartifact checks validate"
    text = f"wrote {len(written)} files to {folder.resolve()}\nnext: {enter}{following}"
    answer({"project": str(folder.resolve()), "files": list(written)}, output, text)


def ui(port: Annotated[int, typer.Option(help="where to serve it on this machine; default a free port")] = 0) -> None:
    """Serve the browser UI on this machine until Ctrl-C; `dartifact up` serves it, too."""
    import os  # noqa: PLC0415

    from dartifact.local.browser_ui import find_app, write_command, write_environment, write_url  # noqa: PLC0415
    from dartifact.local.lakefs_server import choose_port  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415

    settings = read_settings()
    app = find_app(settings.project)
    if app is None:
        raise errors.UsageError("this installation has no browser UI", hint="install the package dartifact anew")
    port = port or choose_port()
    say(f"the browser UI is on {write_url(port)}; Ctrl-C ends it")
    places = {"DARTIFACT_PROJECT": str(settings.project.resolve()), "DARTIFACT_HOME": str(settings.home.resolve())}
    ended = subprocess.run(
        write_command(app, port),
        cwd=settings.project,
        env={**os.environ, **places, **write_environment(app)},
        check=False,
    )
    if ended.returncode:
        raise errors.ServerUnavailable(f"the browser UI has ended with code {ended.returncode}")
