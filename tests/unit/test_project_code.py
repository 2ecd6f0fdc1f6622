"""The code of a dartifact comes back out of its tar as it went in, or not at all."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from dartifact.adapters.transform.project_code import digest_code, pack_code, unpack_code
from dartifact.domain.errors import ChecksErrored


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a small project."""
    for name in ("dbt/models/a.sql", "checks/a.yml"):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
    return tmp_path / "project"


def test_packed_code_is_unpacked_as_it_was(project: Path, tmp_path: Path) -> None:
    digest = digest_code(project)
    unpacked = unpack_code(pack_code(project), digest, tmp_path / "code")
    assert unpacked == tmp_path / "code" / digest
    assert pack_code(unpacked) == pack_code(project)
    assert [path.name for path in (tmp_path / "code").iterdir()] == [digest]


def test_a_folder_that_somebody_edited_is_unpacked_anew(project: Path, tmp_path: Path) -> None:
    digest, packed = digest_code(project), pack_code(project)
    (unpack_code(packed, digest, tmp_path / "code") / "checks" / "a.yml").write_text("edited")
    assert digest_code(unpack_code(packed, digest, tmp_path / "code")) == digest


def test_other_code_than_the_digest_says_is_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(ChecksErrored, match="does not match its digest"):
        unpack_code(pack_code(project), "0" * 64, tmp_path / "code")
    with pytest.raises(ChecksErrored, match="cannot be unpacked"):
        unpack_code(b"no tar at all" * 100, "0" * 64, tmp_path / "code")
    assert list((tmp_path / "code").iterdir()) == []


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt"])
def test_nothing_is_written_outside(name: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    with pytest.raises(ChecksErrored, match="must not contain"):
        unpack_code(buffer.getvalue(), "0" * 64, tmp_path / "code")
