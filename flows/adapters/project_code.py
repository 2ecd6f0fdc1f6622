"""The code half of a dartifact: the files of `dbt/` and `checks/` as one digest and one tar."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

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
