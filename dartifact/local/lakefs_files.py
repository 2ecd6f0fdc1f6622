"""What a local lakeFS keeps in its folder: secrets, configuration, data, log, and the note on the running server."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from dartifact.domain.errors import ServerUnavailable
from dartifact.local.lakefs_endpoint import is_alive

_SAME_TIME_SECONDS = 2.0  # it counts from the start of the system, which is known to the second only


@dataclass(frozen=True, slots=True)
class Secrets:
    """The random values of one store; without them its data cannot be used any more."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    encryption_key: str = field(repr=False)
    signing_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerNote:
    """Which server serves the store: its name among all there ever were, process, place, and who is to stop it.

    `engine` is the Docker program whose container it is; the process is that of `docker run` then.
    """

    name: str
    pid: int
    created: float
    url: str
    owner: str
    engine: str = ""


@dataclass(frozen=True, slots=True)
class LakefsFiles:
    """The paths of one store."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets.json"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def note(self) -> Path:
        return self.folder / "server.json"

    @property
    def users(self) -> Path:
        return self.folder / "users"

    @property
    def lock(self) -> Path:
        return self.folder / "server.lock"


def has_store(home: Path) -> bool:
    """Say whether a home has a lake of its own."""
    return LakefsFiles(home.resolve() / "lakefs").secrets.exists()


def load_secrets(files: LakefsFiles) -> Secrets:
    """Return the secrets of the store, made once with its first start; ServerUnavailable when they are lost."""
    try:
        return Secrets(**json.loads(files.secrets.read_text(encoding="utf-8")))
    except FileNotFoundError:
        pass
    except (ValueError, TypeError) as error:
        raise ServerUnavailable(f"{files.secrets} is damaged", hint=_without_secrets(files)) from error
    if files.data.exists():
        raise ServerUnavailable(f"{files.secrets} is missing", hint=_without_secrets(files))
    made = Secrets("dart" + secrets.token_hex(8), *(secrets.token_hex(32) for _ in range(3)))
    _write_private(files.secrets, asdict(made))
    return made


def _without_secrets(files: LakefsFiles) -> str:
    return f"put the file back; or, to begin with an empty lake, move {files.folder} away"


def write_config(files: LakefsFiles, url: str) -> None:
    """Write the configuration of a server that is to answer at `url`. It holds the secrets."""
    own = load_secrets(files)
    configuration = {
        "listen_address": urlsplit(url).netloc,
        "database": {"type": "local", "local": {"path": str(files.data / "kv")}},
        "blockstore": {
            "type": "local",
            "local": {"path": str(files.data / "blocks")},
            "signing": {"secret_key": own.signing_key},
        },
        "committed": {"local_cache": {"dir": str(files.data / "cache")}},
        "auth": {"encrypt": {"secret_key": own.encryption_key}},
        "installation": {
            "user_name": "dartifact",
            "access_key_id": own.access_key_id,
            "secret_access_key": own.secret_access_key,
        },
        "stats": {"enabled": False},
        "email_subscription": {"enabled": False},
        "security": {"check_latest_version": False, "audit_check_url": ""},
        "logging": {"level": "WARN"},
        "actions": {"env": {"enabled": False}},
        "graveler": {"branch_ownership": {"enabled": True}},
    }
    _write_private(files.config, configuration)  # JSON is YAML, and quotes any path right


def write_note(files: LakefsFiles, note: ServerNote) -> None:
    """Write down which server runs."""
    _write_private(files.note, asdict(note))


def read_note(files: LakefsFiles) -> ServerNote | None:
    """Return the note on the running server; nothing when there is none that can be read."""
    try:
        return ServerNote(**json.loads(files.note.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def find_process(files: LakefsFiles, note: ServerNote) -> psutil.Process | None:
    """Return the process the note is about; nothing when it has ended, also when its pid is another's now."""
    try:
        process = psutil.Process(note.pid)
        # A create time moves when the system's clock is set; the command line tells all the same.
        same = abs(process.create_time() - note.created) < _SAME_TIME_SECONDS
        if same or process.cmdline()[-1:] == [str(files.config)]:
            return process if is_alive(process) else None
    except psutil.Error:
        pass
    return None


def begin_log(files: LakefsFiles) -> None:
    """Put the log of the last server aside, so that what follows is on this one only."""
    with contextlib.suppress(FileNotFoundError):
        files.log.replace(files.log.with_suffix(".log.old"))


def last_lines(path: Path, count: int = 10) -> Iterable[str]:
    """Return the end of a log that need not exist."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    return ()


def _write_private(path: Path, content: object) -> None:
    """Put JSON into a file of mode 0600, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
