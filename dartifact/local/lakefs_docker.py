"""The lakeFS server from its Docker image: the last way, for machines that can neither download nor build it."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dartifact.domain.errors import ServerUnavailable
from dartifact.domain.progress import Progress
from dartifact.local.child_process import running_child

_ANSWER_SECONDS = 20.0
_PULL_SECONDS = 900.0
_REPORT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Image:
    """A server program that is an image, and the engine of this machine that runs it."""

    engine: str
    name: str
    is_rootless: bool

    def run_command(self, folder: Path, config: Path, port: int) -> list[str]:
        """Return the command that serves a store's folder at a loopback port until it ends.

        The folder has the same path inside, so that the configuration, and the paths the server tells, hold outside.
        """
        mount = io.StringIO()
        # The engine reads the option as CSV, and a path may hold a comma.
        csv.writer(mount, lineterminator="").writerow(["type=bind", f"source={folder}", f"target={folder}"])
        # A rootless engine maps its root to the user; any other user of its own could not read our files.
        user = [] if self.is_rootless else ["--user", f"{os.getuid()}:{os.getgid()}"]
        return [
            self.engine,
            "run",
            "--rm",
            "--init",
            "--pull",
            "never",
            "--name",
            container_name(folder),
            "--publish",
            f"127.0.0.1:{port}:{port}",
            "--mount",
            mount.getvalue(),
            "--workdir",
            str(folder),
            *user,
            "--env",
            "HOME=/tmp",
            "--env",
            f"LAKEFS_LISTEN_ADDRESS=0.0.0.0:{port}",
            self.name,
            "run",
            "--config",
            str(config),
        ]


def container_name(folder: Path) -> str:
    """Return the name of the one container that may serve a store's folder."""
    return f"dartifact-lakefs-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def find_image(version: str, progress: Progress) -> Image:
    """Return the image of a version, pulled if need be; ServerUnavailable says why it cannot be had."""
    engine = shutil.which("docker")
    if engine is None:
        raise ServerUnavailable("there is no `docker` on PATH")
    code, security = _ask(engine, "info", "--format", "{{json .SecurityOptions}}")
    if code != 0:
        raise ServerUnavailable(f"no engine can be reached ({security})")
    where = (
        os.environ.get("DOCKER_HOST", "")
        or _ask(engine, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")[1]
    )
    if not where.startswith(("unix://", "npipe://")):
        raise ServerUnavailable(f"the engine at {where or 'an unknown place'} is not on this machine")
    image = Image(engine, f"treeverse/lakefs:{version}", "name=rootless" in security)
    if _ask(engine, "image", "inspect", "--format", "{{.Id}}", image.name)[0] != 0:
        _pull(image, progress)
    return image


def serves_port(engine: str, folder: Path, port: int | None) -> bool:
    """Tell whether the store's container runs and the engine has published its port: then the port is nobody else's."""
    template = "{{.State.Running}} {{json .HostConfig.PortBindings}}"
    code, answer = _ask(engine, "container", "inspect", "--format", template, container_name(folder))
    return code == 0 and answer.startswith("true ") and f'"{port}/tcp"' in answer


def remove_container(engine: str, folder: Path) -> None:
    """Remove the store's container, whatever it does; nothing when there is none."""
    _ask(engine, "rm", "--force", container_name(folder))


def _pull(image: Image, progress: Progress) -> None:
    progress(f"pulling the image {image.name}: once per machine, about 200 MB")
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        with running_child([image.engine, "pull", image.name], cwd=Path.cwd(), env=os.environ, output=output) as child:
            while child.poll() is None:
                try:
                    child.wait(_REPORT_SECONDS)
                except subprocess.TimeoutExpired:
                    seconds = time.monotonic() - started
                    if seconds > _PULL_SECONDS:
                        raise ServerUnavailable(f"{image.name} was not pulled within {seconds:.0f} s") from None
                    progress(f"pulling {image.name}, {seconds:.0f} s")
        output.seek(0)
        said = _last_line(output.read().decode("utf-8", "replace"))
    if child.returncode != 0:
        raise ServerUnavailable(f"{image.name} cannot be pulled ({said or f'exit code {child.returncode}'})")


def _ask(engine: str, *arguments: str) -> tuple[int, str]:
    """Return the exit code of an engine's command and its answer, or the last line of its complaint."""
    try:
        answer = subprocess.run(
            [engine, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
            start_new_session=sys.platform != "win32",
        )
    except OSError as error:
        return -1, f"{engine} cannot be run: {error.strerror}"
    except subprocess.TimeoutExpired:
        return -1, f"{engine} {arguments[0]} does not end"
    if answer.returncode != 0:
        return answer.returncode, _last_line(answer.stderr) or f"exit code {answer.returncode}"
    return 0, answer.stdout.strip()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
