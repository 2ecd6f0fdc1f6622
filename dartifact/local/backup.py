"""Backups of a home: the ledger and the embedded lake as they stand at one moment, while everything goes on.

A backup folder holds `blocks/`, the store's files, which never change and are copied once, and one folder for each
moment with the ledger and a manifest that names the moment's refs and files. Nothing that moves `main` or production
runs during the moment; ingests do, and their rows are found on their branches afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.adapters.lakefs.dump import dump_refs, restore_refs
from dartifact.adapters.lakefs.lake import Lake
from dartifact.commands.leases import hold_lease
from dartifact.commands.stack import Stack
from dartifact.domain.errors import Conflict, Locked, UsageError
from dartifact.domain.progress import Progress
from dartifact.local.lakefs_files import LakefsFiles
from dartifact.local.lakefs_server import running_lakefs

_MANIFEST, _LEDGER, _BLOCKS = "manifest.json", "ledger.db", "blocks"
_LOCAL = "local://"
_FORMAT = 1
_PATIENCE = 600.0
_POLL = 0.5
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Backup:
    """One moment of a home: what its manifest says. `refs` are lakeFS's own dump of branches, tags and commits."""

    at: str
    ledger_id: str
    ledger_sha256: str
    repository: str
    namespace: str
    refs: Mapping[str, str]
    generation: int
    files: Mapping[str, int]
    format: int = _FORMAT

    @property
    def size(self) -> int:
        """Return the bytes of all files of the store."""
        return sum(self.files.values())


def back_up(stack: Stack, target: Path, progress: Progress, *, patience: float = _PATIENCE) -> Path:
    """Write a moment of the home of a stack below `target`; return its folder.

    UsageError where the ledger or the lake is not on this machine: these have their own tools. Locked when a station
    does not end within `patience` seconds.
    """
    ledger_file, blocks = _find_ledger(stack), _find_blocks(stack)
    namespace = stack.lake.read_namespace()
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    moment = Path(tempfile.mkdtemp(prefix=f".{at}-", dir=target))
    try:
        refs, generation = _take_moment(stack, ledger_file, moment / _LEDGER, progress, patience)
        store = blocks / namespace.removeprefix(_LOCAL)
        files = dict(_copy_new(store, target / _BLOCKS / store.name, progress))
        manifest = Backup(
            at,
            stack.ledger.ledger_id,
            _digest(moment / _LEDGER),
            stack.lake.repository,
            namespace,
            refs,
            generation,
            files,
        )
        (moment / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
        done = target / at
        moment.rename(done)
    except BaseException:
        shutil.rmtree(moment, ignore_errors=True)
        raise
    progress(f"{done}: {len(files):,} files, {manifest.size / 1e6:,.1f} MB")
    return done


def find_moment(backup: Path) -> Path:
    """Return the folder of a moment: the given one, else the newest below it; UsageError when there is none."""
    if (backup / _MANIFEST).is_file():
        return backup
    moments = sorted(found.parent for found in backup.glob(f"[0-9]*/{_MANIFEST}"))
    if not moments:
        raise UsageError(f"{backup} is no backup", hint="name the folder that `dartifact backup` wrote")
    return moments[-1]


def check_backup(moment: Path) -> Backup:
    """Return what a moment holds; UsageError when a file of it is missing, cut or changed."""
    try:
        backup = Backup(**json.loads((moment / _MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{moment / _MANIFEST} cannot be read") from error
    if backup.format != _FORMAT:
        raise UsageError(f"{moment} has format {backup.format}, this dartifact reads {_FORMAT}")
    if not (moment / _LEDGER).is_file() or _digest(moment / _LEDGER) != backup.ledger_sha256:
        raise UsageError(f"{moment / _LEDGER} is missing or was changed")
    store = _find_store(moment, backup)
    for name, size in backup.files.items():
        if not (store / name).is_file() or (store / name).stat().st_size != size:
            raise UsageError(f"{store / name} is missing or was changed")
    return backup


def restore(moment: Path, home: Path, ledger_url: str, progress: Progress) -> Backup:
    """Write a moment into a home that has neither a ledger nor a lake; what was there before has to be moved away."""
    backup = check_backup(moment)
    ledger, files = _find_file(ledger_url), LakefsFiles(home / "lakefs")
    for taken in (ledger, files.data):
        if taken.exists():
            raise UsageError(f"{taken} is there: nothing is written over", hint=f"move {taken} away first")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with running_lakefs(home, progress) as endpoint:
        store = files.data / _BLOCKS / backup.namespace.removeprefix(_LOCAL)
        _copy_all(_find_store(moment, backup), store, backup.files, progress)
        access = LakeAccess(endpoint.url, endpoint.access_key_id, endpoint.secret_access_key)
        lake = Lake(access, backup.repository)
        restore_refs(lake.access, lake.repository, backup.namespace, backup.refs)
        lake.write_ledger_id(backup.ledger_id)
        lake.prepare()
    ledger.parent.mkdir(parents=True, exist_ok=True)
    part = ledger.with_suffix(".part")
    shutil.copyfile(moment / _LEDGER, part)
    part.chmod(0o600)
    part.rename(ledger)
    progress(f"{home} is as it was at {backup.at}")
    return backup


def _take_moment(
    stack: Stack, source: Path, copy: Path, progress: Progress, patience: float
) -> tuple[dict[str, str], int]:
    """Copy the ledger and dump the refs while nothing moves `main` or production."""
    for _ in range(_TRIES):
        with ExitStack() as quiet:
            for name in ("integrate", "promote"):
                _wait_for(stack, name, quiet, progress, patience)
            generation = stack.ledger.pointer().generation
            # The ledger first: what an ingest commits between the two is found on its branch.
            with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(copy)) as target:
                original.backup(target)
                target.execute("DELETE FROM leases")
                target.commit()
            refs = dump_refs(stack.lake.access, stack.lake.repository)
        if stack.ledger.pointer().generation == generation:  # a rollback asks nobody
            return refs, generation
    raise Conflict("production kept moving", hint="run again")


def _wait_for(stack: Stack, name: str, quiet: ExitStack, progress: Progress, patience: float) -> None:
    end, told = time.monotonic() + patience, False
    while True:
        try:
            quiet.enter_context(hold_lease(stack.ledger, name))
        except Locked as error:
            if time.monotonic() > end:
                raise
            if not told:
                progress(f"waiting: {error.message}")
                told = True
            time.sleep(_POLL)
        else:
            return


def _find_ledger(stack: Stack) -> Path:
    if not stack.ledger.url.startswith("sqlite:///"):
        raise UsageError(
            "the ledger is a server: back it up with `pg_dump`, and the lake with its bucket's versions",
            hint="stop the stations first (dartifact pause --all), and check both with dartifact verify",
        )
    return _find_file(stack.ledger.url)


def _find_file(ledger_url: str) -> Path:
    if not ledger_url.startswith("sqlite:///"):
        raise UsageError("the ledger is a server: restore it with `pg_restore`", hint="then dartifact verify")
    return Path(ledger_url.removeprefix("sqlite:///"))


def _find_blocks(stack: Stack) -> Path:
    blocks = LakefsFiles(stack.home / "lakefs").data / _BLOCKS
    if not stack.lake.read_namespace().startswith(_LOCAL) or not blocks.is_dir():
        raise UsageError(
            "the lake is not in this home: keep its bucket's versions, and dump its refs with `lakectl refs-dump`",
            hint="the ledger alone is copied with sqlite3 ledger.db '.backup FILE'; check both with dartifact verify",
        )
    return blocks


def _find_store(moment: Path, backup: Backup) -> Path:
    return moment.parent / _BLOCKS / backup.namespace.removeprefix(_LOCAL)


def _copy_new(source: Path, target: Path, progress: Progress) -> Iterator[tuple[str, int]]:
    """Copy the files that the target lacks, each whole or not at all; yield the name and size of all."""
    copied = 0
    for path in sorted(found for found in source.rglob("*") if found.is_file()):
        name, size = str(path.relative_to(source)), path.stat().st_size
        if not (target / name).is_file() or (target / name).stat().st_size != size:
            _copy(path, target / name)
            copied += 1
            if copied % 1000 == 0:
                progress(f"{copied:,} files copied")
        yield name, size


def _copy_all(source: Path, target: Path, files: Mapping[str, int], progress: Progress) -> None:
    for number, name in enumerate(files, start=1):
        _copy(source / name, target / name)
        if number % 1000 == 0:
            progress(f"{number:,} of {len(files):,} files copied")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(target)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
