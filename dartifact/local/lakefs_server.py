"""A lakeFS server of this machine: one process per home, shared by all who use that home at the same time."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from dartifact.domain.errors import ServerUnavailable
from dartifact.domain.progress import Progress
from dartifact.local import lakefs_files as store
from dartifact.local.child_process import running_child
from dartifact.local.lakefs_binary import find_server
from dartifact.local.lakefs_docker import Image, remove_container, serves_port
from dartifact.local.lakefs_endpoint import Endpoint, find_fault, is_alive
from dartifact.local.locks import describe_users, hold_lock, is_user, registered_user

__all__ = ["Endpoint", "running_lakefs"]


_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0
_ORPHAN_SECONDS = 10.0
_LEAVE_POLL_SECONDS = 0.2
_END_POLL_SECONDS = 0.02
_TRIES = 5
_RETRY_SECONDS = 0.5
# Another program took the port between our choice and the bind; the server of a killed owner is still on its way out.
_PASSING_FAULTS = "address already in use", "port is already allocated", "Cannot acquire directory lock"


@contextlib.contextmanager
def running_lakefs(
    home: Path,
    progress: Progress,
    *,
    binary: Path | Image | None = None,
    download_url: str | None = None,
    start: bool = True,
) -> Iterator[Endpoint]:
    """Yield the endpoint of the server of this home; start the server if nobody has, else join it.

    Who started it stops it, when nobody else uses it any more; an interrupt of that wait stops it at once. Everything
    is kept in `home/lakefs`. `binary` is the program to start, else it is found, downloaded from `download_url`, or
    built. Without `start`, somebody else keeps the server running and is waited for. ServerUnavailable when there is no
    server to be had.
    """
    files = store.LakefsFiles(home.resolve() / "lakefs")
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as use:
        deadline, endpoint = time.monotonic() + _READY_SECONDS, None
        while endpoint is None:
            with _deciding(files, progress):
                endpoint = _join(files, progress, use)
                if endpoint is None and start:
                    endpoint = _start(files, progress, use, binary, download_url)
            if endpoint is None:
                if time.monotonic() > deadline:
                    raise _unavailable(files, "the lakeFS server that `dartifact up` keeps running does not answer")
                time.sleep(_LEAVE_POLL_SECONDS)
        yield endpoint


def choose_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _deciding(files: store.LakefsFiles, progress: Progress) -> AbstractContextManager[None]:
    """Hold the lock under which a server is joined, started or stopped."""
    return hold_lock(files.lock, progress, "waiting for another command that is starting or stopping lakeFS")


def _join(files: store.LakefsFiles, progress: Progress, use: ExitStack) -> Endpoint | None:
    """Return the endpoint of the server that runs already, after proof; nothing when one has to be started."""
    note = store.read_note(files)
    process = store.find_process(files, note) if note else None
    if note is None or process is None:
        return None
    has_owner = is_user(files.users, note.owner)
    if not has_owner and sys.platform == "linux":
        # It was told to end when its owner died; joined now, it would be gone in a moment.
        _wait_for_end(process, _ORPHAN_SECONDS)
    endpoint = _endpoint(note.url, files)
    fault = _find_fault(endpoint, process, files, note.engine)
    if has_owner and fault and is_alive(process):
        raise _unavailable(files, f"the lakeFS server of pid {note.pid} at {note.url} {fault}")
    if fault:
        _end(process, files, note.engine)
        return None
    me = use.enter_context(registered_user(files.users, note.name))
    if has_owner:
        progress(f"joined the lakeFS server at {note.url}")
    else:
        store.write_note(files, replace(note, owner=me))
        use.callback(_leave, files, me, progress, process, lambda: _end(process, files, note.engine))
        progress(f"took over the lakeFS server at {note.url}, whose owner has died")
    return endpoint


def _start(
    files: store.LakefsFiles,
    progress: Progress,
    use: ExitStack,
    binary: Path | Image | None,
    download_url: str | None,
) -> Endpoint:
    """Start the server, own it, and return its endpoint."""
    program = binary or find_server(progress, download_url=download_url)
    engine = program.engine if isinstance(program, Image) else ""
    store.load_secrets(files)
    files.data.mkdir(mode=0o700, exist_ok=True)
    store.begin_log(files)
    # Users belong to this one server: who still uses one that crashed has nothing of this one, and is not waited for.
    name = uuid.uuid4().hex
    me = use.enter_context(registered_user(files.users, name))
    for _ in range(_TRIES):
        endpoint = _endpoint(f"http://127.0.0.1:{choose_port()}", files)
        with ExitStack() as starting:
            process = psutil.Process(starting.enter_context(_running(program, files, endpoint)).pid)
            note = store.ServerNote(name, process.pid, process.create_time(), endpoint.url, me, engine)
            store.write_note(files, note)
            fault = _find_fault(endpoint, process, files, engine)
            if not fault:
                use.callback(_leave, files, me, progress, process, starting.pop_all().close)
                progress(f"lakeFS started at {endpoint.url}")
                return endpoint
        if not any(passing in line for passing in _PASSING_FAULTS for line in store.last_lines(files.log)):
            break
        time.sleep(_RETRY_SECONDS)
    files.note.unlink(missing_ok=True)
    raise _unavailable(files, f"the lakeFS server that was just started {fault}")


@contextlib.contextmanager
def _running(program: Path | Image, files: store.LakefsFiles, endpoint: Endpoint) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server at the endpoint."""
    store.write_config(files, endpoint.url)
    # LAKEFS_* would override the file, silently.
    env = {name: value for name, value in os.environ.items() if not name.startswith("LAKEFS_")}
    if isinstance(program, Image):
        command = program.run_command(files.folder, files.config, urlsplit(endpoint.url).port or 0)
    else:
        command = [str(program), "run", "--config", str(files.config)]
    with ExitStack() as running:
        if isinstance(program, Image):
            # One outlives a `docker run` that was killed, and would keep the store to itself.
            remove_container(program.engine, files.folder)
            running.callback(remove_container, program.engine, files.folder)
        try:
            with files.log.open("ab") as log:
                child = running.enter_context(
                    running_child(command, cwd=files.folder, env=env, output=log, grace=_STOP_SECONDS)
                )
        except OSError as error:
            raise _unavailable(
                files, f"the lakeFS server cannot be started ({command[0]}: {error.strerror})"
            ) from error
        yield child


def _leave(
    files: store.LakefsFiles, me: str, progress: Progress, process: psutil.Process, stop: Callable[[], None]
) -> None:
    """Wait until nobody else uses the server, then stop it; on an interrupt stop it all the same."""
    told: tuple[str, ...] = ()
    try:
        while is_alive(process):
            # Under the lock: whoever comes now is either counted here or finds the server gone.
            with _deciding(files, progress):
                others = describe_users(files.users, me.partition(".")[0], without=me)
                if not others:
                    stop()
                    files.note.unlink(missing_ok=True)
                    return
            if others != told:
                progress(f"lakeFS is still used by {', '.join(others)}: waiting for that to end (Ctrl-C stops it now)")
                told = others
            time.sleep(_LEAVE_POLL_SECONDS)
    finally:
        stop()


def _find_fault(endpoint: Endpoint, process: psutil.Process, files: store.LakefsFiles, engine: str) -> str:
    def is_published(_: psutil.Process, port: int | None) -> bool:
        return serves_port(engine, files.folder, port)

    return find_fault(endpoint, process, _READY_SECONDS, is_published if engine else None)


def _end(process: psutil.Process, files: store.LakefsFiles, engine: str) -> None:
    """End a server that is not our child: TERM, patience, KILL; nothing when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        try:
            process.terminate()
            _wait_for_end(process, _STOP_SECONDS)
        finally:
            if is_alive(process):
                process.kill()
                _wait_for_end(process, _STOP_SECONDS)
            if engine:
                remove_container(engine, files.folder)


def _wait_for_end(process: psutil.Process, patience: float) -> None:
    # Not psutil's wait: in a container nobody may reap the dead, and that waits until they are reaped.
    deadline = time.monotonic() + patience
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(_END_POLL_SECONDS)


def _endpoint(url: str, files: store.LakefsFiles) -> Endpoint:
    own = store.load_secrets(files)
    return Endpoint(url, own.access_key_id, own.secret_access_key)


def _unavailable(files: store.LakefsFiles, what: str) -> ServerUnavailable:
    """Return the error with the end of the server's log."""
    lines = [f"{what}; its log is {files.log}, ending with:", *(f"    {line}" for line in store.last_lines(files.log))]
    return ServerUnavailable(
        "\n".join(lines), hint="repair what the log names, or name a running server in DARTIFACT_LAKE_URL"
    )
