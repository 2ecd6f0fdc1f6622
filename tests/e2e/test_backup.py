"""The drill: a home is backed up while it works, lost, and written back; nothing is missing."""

from __future__ import annotations

import json
import shutil
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.domain import plans
from dartifact.domain.errors import Conflict
from dartifact.domain.events import EventType
from dartifact.local import backup as backups
from dartifact.settings import read_settings
from dartifact.wiring import open_stack
from tests.conftest import Call
from tests.support.heights import serving_heights

KEPT = Path(__file__).parent / "homes" / "0.1.0.tar.xz"
Json = Callable[..., object]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a project that is live: three days of rows, one dartifact."""
    with tarfile.open(KEPT) as tar:
        tar.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path / "weather")
    return tmp_path / "weather"


@pytest.fixture
def ask(call: Call) -> Json:
    """Return what runs a verb and reads its document."""

    def ask(*arguments: str, code: int = 0) -> object:
        ended, said, why = call(*arguments, "-o", "json")
        assert ended == code, f"{said}{why}"
        return json.loads(said) if said else why

    return ask


def test_a_home_that_was_lost_is_as_it_was(
    project: Path, ask: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_heights(days=4) as url:
        monkeypatch.setenv("DARTIFACT_SOURCE_URLS", json.dumps({"production": url}))
        ask("ingest", "production")  # queued: on its branch, not in main
        before = {verb: ask(*verb.split()) for verb in ("runs", "status", "resolve")}
        ask("backup", str(tmp_path / "kept"))
        first = {found.name for found in (tmp_path / "kept").iterdir()}
        shutil.rmtree(project / ".dartifact")

        ask("restore", str(tmp_path / "kept"))
        assert {verb: ask(*verb.split()) for verb in ("runs", "status", "resolve")} == before
        assert all(found["ok"] for found in ask("verify", "--deep"))  # type: ignore[attr-defined]
        assert (project / ".dartifact" / "ledger.db").stat().st_mode & 0o077 == 0
        for verb in ("integrate", "stage", "promote"):
            ask(verb)
        assert {run["phase"] for run in ask("runs")} == {"live"}  # type: ignore[attr-defined]

        ask("backup", str(tmp_path / "kept"))
        assert len({found.name for found in (tmp_path / "kept").iterdir()} - first) == 1, "the store is shared"
        assert ask("verify", str(tmp_path / "kept"))
    assert "is there: nothing is written over" in str(ask("restore", str(tmp_path / "kept"), code=1))


@pytest.mark.parametrize("damage", ["ledger", "block", "manifest", "missing block"])
def test_a_backup_that_is_not_whole_is_refused_and_nothing_is_written(
    project: Path, ask: Json, call: Call, tmp_path: Path, damage: str
) -> None:
    moment = Path(str(ask("backup", str(tmp_path / "kept"))["folder"]))  # type: ignore[index]
    block = max((tmp_path / "kept" / "blocks").rglob("data/*/*"), key=lambda path: path.stat().st_size)
    match damage:
        case "ledger":
            with (moment / "ledger.db").open("r+b") as file:
                file.seek(5000)
                file.write(b"x")
        case "block":
            block.write_bytes(b"")
        case "missing block":
            block.unlink()
        case _:
            (moment / "manifest.json").write_text("{")
    shutil.rmtree(project / ".dartifact")
    for verb in ("verify", "restore"):
        code, _, why = call(verb, str(tmp_path / "kept"))
        assert code == 1
        assert "missing or was changed" in why or "cannot be read" in why
    assert not (project / ".dartifact" / "ledger.db").exists()


def test_what_is_no_backup_is_said(call: Call, project: Path, tmp_path: Path) -> None:
    code, _, why = call("restore", str(tmp_path))
    assert code == 1
    assert "is no backup" in why


def test_a_ledger_or_a_lake_that_is_a_server_has_its_own_tools(
    project: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "_LOCAL", "s3://")
    code, _, why = call("backup", str(tmp_path / "kept"))
    assert code == 1
    assert "refs-dump" in why


def test_a_moment_in_which_production_moved_is_taken_again(
    project: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, moved = backups.dump_refs, threading.Event()
    with open_stack(read_settings(), print, sources=False) as stack:

        def dump(access: LakeAccess, repository: str) -> dict[str, str]:
            if not moved.is_set():
                moved.set()
                pointer = stack.ledger.pointer()
                with stack.ledger.write() as tx:
                    frozen = plans.freeze(pointer, "why")
                    tx.production.swap_pointer(pointer, frozen, EventType.PROMOTIONS_FROZEN, "ann")
            return real(access, repository)

        monkeypatch.setattr(backups, "dump_refs", dump)
        moment = backups.back_up(stack, tmp_path / "kept", print)
        assert backups.check_backup(moment).generation == stack.ledger.pointer().generation
        monkeypatch.setattr(backups, "_TRIES", 1)
        moved.clear()
        with pytest.raises(Conflict, match="production kept moving"):
            backups.back_up(stack, tmp_path / "kept", print)


def test_a_backup_that_was_killed_half_way_is_none_and_the_next_goes_on_with_it(
    project: Path, ask: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, copied = backups._copy, []

    def die(source: Path, target: Path) -> None:
        if len(copied) == 5:
            raise KeyboardInterrupt
        copied.append(target)
        real(source, target)

    with monkeypatch.context() as patch, open_stack(read_settings(), print, sources=False) as stack:
        patch.setattr(backups, "_copy", die)
        with pytest.raises(KeyboardInterrupt):
            backups.back_up(stack, tmp_path / "kept", print)
    assert [found.name for found in (tmp_path / "kept").iterdir()] == ["blocks"]
    assert "is no backup" in str(ask("verify", str(tmp_path / "kept"), code=1))
    ask("backup", str(tmp_path / "kept"))
    assert ask("verify", str(tmp_path / "kept"))
