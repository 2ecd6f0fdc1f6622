"""The code half of a dartifact: the files of `dbt/` and `checks/` as one digest and one tar."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import tempfile
from pathlib import Path

from dartifact.domain.errors import ChecksErrored

FOLDERS = ("dbt", "checks")
_NOT_CODE = {"target", "logs", "dbt_packages", ".user.yml", "__pycache__", ".DS_Store"}


def list_code(project: Path) -> tuple[Path, ...]:
    """List the code files relative to the project folder, sorted."""
    found = (path for folder in FOLDERS for path in (project / folder).rglob("*") if path.is_file())
    relative = (path.relative_to(project) for path in found)
    return tuple(sorted(path for path in relative if not _NOT_CODE & set(path.parts)))


def digest_code(project: Path) -> str:
    """Return the sha256 over names and contents."""
    digest = hashlib.sha256()
    for path in list_code(project):
        digest.update(path.as_posix().encode() + b"\0" + hashlib.sha256((project / path).read_bytes()).digest())
    return digest.hexdigest()


def pack_code(project: Path) -> bytes:
    """Return a tar of the code files, byte-identical for equal content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in list_code(project):
            content = (project / path).read_bytes()
            entry = tarfile.TarInfo(path.as_posix())
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def unpack_code(packed: bytes, digest: str, folder: Path) -> Path:
    """Unpack what `pack_code` made into `<folder>/<digest>`, whole or not at all; return that project folder.

    A folder that is there and intact is used again. ChecksErrored when the tar holds other code than the digest says.
    """
    project = folder / digest
    if project.is_dir() and digest_code(project) == digest:
        return project
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unpack-", dir=folder, ignore_cleanup_errors=True) as place:
        unpacked = Path(place) / "project"
        unpacked.mkdir()
        try:
            with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
                for entry in tar:
                    _unpack_file(tar, entry, unpacked)
        except tarfile.TarError as error:
            raise ChecksErrored(f"the code {digest[:12]} cannot be unpacked: {error}") from error
        if digest_code(unpacked) != digest:
            raise ChecksErrored(f"the packed code does not match its digest {digest[:12]}")
        shutil.rmtree(project, ignore_errors=True)  # somebody has edited it
        unpacked.rename(project)
    return project


def _unpack_file(tar: tarfile.TarFile, entry: tarfile.TarInfo, into: Path) -> None:
    path, content = Path(entry.name), tar.extractfile(entry) if entry.isfile() else None
    if content is None or path.is_absolute() or ".." in path.parts:
        raise ChecksErrored(f"packed code must not contain {entry.name}")
    (into / path).parent.mkdir(parents=True, exist_ok=True)
    (into / path).write_bytes(content.read())
