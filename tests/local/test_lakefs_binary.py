from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from dartifact.domain.errors import ServerUnavailable
from dartifact.local.lakefs_binary import LAKEFS_VERSION, find_binary, find_server
from dartifact.local.lakefs_build import GO_VERSION
from dartifact.local.lakefs_endpoint import is_alive
from tests.local.processes import wait_until

WriteProgram = Callable[[str, str], Path]
LAKEFS = "echo lakefs version 1.86.0"
NOWHERE = "http://127.0.0.1:9"  # nothing answers there, so no release archive is to be had
FIND = """
from dartifact.local.lakefs_binary import find_binary
say(find_binary(say, cache_dir=pathlib.Path(sys.argv[1]), download_url="http://127.0.0.1:9"))
"""
PUBLISH = f"printf '#!/bin/sh\\n{LAKEFS}\\n' > lakefs; /bin/chmod +x lakefs"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache; nothing but what the test puts into `bin` is on PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "cache"


def published(cache: Path) -> Path:
    return cache / f"lakefs-{LAKEFS_VERSION}" / "lakefs"


def content(cache: Path) -> list[str]:
    return sorted(path.name for path in published(cache).parent.iterdir())


def ignore(line: str) -> None:
    pass


def test_with_nothing_at_hand_the_error_names_every_way_and_what_to_do(cache: Path) -> None:
    with pytest.raises(ServerUnavailable) as raised:
        find_server(ignore, cache_dir=cache, download_url=NOWHERE)
    assert str(raised.value).splitlines() == [
        "no lakeFS 1.86.0 server was found, and none could be got",
        "PATH: there is no `lakefs`",
        f"cache: {published(cache)} does not exist",
        f"release archive: {NOWHERE} cannot be reached ([Errno {errno.ECONNREFUSED}] Connection refused)",
        "go build: there is no `go` on PATH, and no `uv` that could bring it",
        "Docker: there is no `docker` on PATH",
    ]
    for way_out in (
        "DARTIFACT_LAKEFS_DOWNLOAD_URL",
        "Docker",
        "Go >= 1.26.4",
        "lakefs 1.86.0 on PATH",
        "DARTIFACT_LAKE_URL",
    ):
        assert way_out in str(raised.value.hint)


def test_the_right_version_on_path_is_taken(cache: Path, write_program: WriteProgram) -> None:
    program = write_program("lakefs", LAKEFS)
    assert find_binary(ignore, cache_dir=cache, download_url=NOWHERE) == program


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo lakefs version 1.50.0", "is version 1.50.0, not 1.86.0"),
        ("echo lakefs version 1.86.01", "is version 1.86.01, not 1.86.0"),
        ("echo broken; exit 3", "does not tell its version (exit code 3)"),
    ],
)
def test_another_program_on_path_is_skipped_and_named(
    cache: Path, write_program: WriteProgram, text: str, reason: str
) -> None:
    program = write_program("lakefs", text)
    with pytest.raises(ServerUnavailable, match=re.escape(f"PATH: {program} {reason}")):
        find_binary(ignore, cache_dir=cache, download_url=NOWHERE)
    write_program("go", PUBLISH)
    assert find_binary(ignore, cache_dir=cache, download_url=NOWHERE) == published(cache)


def test_the_cache_of_the_user_is_where_xdg_says(
    cache: Path, write_program: WriteProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = published(cache / "dartifact")
    program.parent.mkdir(parents=True)
    write_program("lakefs-kept", LAKEFS).rename(program)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert find_binary(ignore) == program


def test_a_damaged_program_in_the_cache_is_built_again(cache: Path, write_program: WriteProgram) -> None:
    published(cache).parent.mkdir(parents=True)
    published(cache).write_bytes(b"\x7fELF half")
    published(cache).chmod(0o755)
    write_program("go", PUBLISH)
    assert find_binary(ignore, cache_dir=cache, download_url=NOWHERE) == published(cache)
    assert LAKEFS in published(cache).read_text()


def test_the_build_runs_on_a_copy_with_the_flags_of_the_user(
    cache: Path, tmp_path: Path, write_program: WriteProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = 'echo "$GOFLAGS|$CGO_ENABLED|$GOOS|$GOWORK|$PWD|$*"; /bin/cat go.mod; /usr/bin/wc -l go.sum'
    write_program("go", f"( {report} ) > {tmp_path}/report; {PUBLISH}")
    monkeypatch.setenv("GOFLAGS", "-buildvcs=false")
    monkeypatch.setenv("GOOS", "plan9")
    said: list[str] = []
    find_binary(said.append, cache_dir=cache, download_url=NOWHERE)
    first, *rest = (tmp_path / "report").read_text().splitlines()
    flags, cgo, system, workspace, folder, arguments = first.split("|")
    assert (flags, cgo, system, workspace) == ("-buildvcs=false", "0", "", "off")
    assert Path(folder).parent == published(cache).parent
    assert arguments == (
        "build -v -trimpath -ldflags -s -w -X github.com/treeverse/lakefs/pkg/version.Version=1.86.0"
        " -o lakefs github.com/treeverse/lakefs/cmd/lakefs"
    )
    # The module decides what is built: these are the versions the code and its messages speak of.
    assert f"go {GO_VERSION}" in rest
    assert f"require github.com/treeverse/lakefs v{LAKEFS_VERSION}" in rest
    assert "go.sum" in rest[-1]
    announced = next(line for line in said if line.startswith("building"))
    assert "3 to 4 minutes" in announced
    assert "3.3 GB" in announced


@pytest.mark.parametrize(
    ("go", "reason"),
    [
        ("echo one/package; echo 'main.go:1: undefined: x'; exit 1", "ended with code 1, saying:\n    main.go:1"),
        ("exit 2", "ended with code 2 and said nothing"),
        (
            "[ $1 = env ] && echo go1.20.1 && exit; echo 'go: go.mod requires go >= 1.26.4 (running 1.20.1)'; exit 1",
            "is too old (go1.20.1, needed is 1.26.4), saying:",
        ),
        ("echo 'write x: no space left on device'; exit 1", "the disk is full, saying:\n    write x"),
        ("printf half > lakefs; /bin/chmod +x lakefs", "it was got, but cannot be used:"),
        ("exit 0", "it was got, but cannot be used:"),
    ],
)
def test_a_failed_build_says_why_and_leaves_no_program(
    cache: Path, write_program: WriteProgram, go: str, reason: str
) -> None:
    write_program("go", go)
    with pytest.raises(ServerUnavailable, match=re.escape(reason)):
        find_binary(ignore, cache_dir=cache, download_url=NOWHERE)
    assert content(cache) == ["build.lock"]


def test_a_cache_that_cannot_be_written_is_named(cache: Path, write_program: WriteProgram) -> None:
    write_program("go", PUBLISH)
    cache.write_text("a file where the folder should be")
    with pytest.raises(ServerUnavailable, match=re.escape(f"cache: {published(cache).parent}: Not a directory")):
        find_binary(ignore, cache_dir=cache, download_url=NOWHERE)


@pytest.fixture
def held_go(tmp_path: Path, write_program: WriteProgram) -> Path:
    """Put a `go` on PATH that notes its pid in `calls` and builds nothing before the file `go-on` is there."""
    go_on = tmp_path / "go-on"
    wait = f"while [ ! -e {go_on} ]; do /bin/sleep 0.05; done"
    write_program("go", f"echo half > lakefs; echo $$ >> {tmp_path}/calls; {wait}; {PUBLISH}")
    return go_on


def calls(tmp_path: Path) -> list[int]:
    path = tmp_path / "calls"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_two_processes_at_once_build_once(cache: Path, tmp_path: Path, start_command: Any, held_go: Path) -> None:
    first = start_command(FIND, cache)
    wait_until(lambda: calls(tmp_path))
    second = start_command(FIND, cache)
    second.wait_for("waiting for another process that is getting lakeFS")
    held_go.touch()
    assert (first.end(), second.end()) == (0, 0)
    assert [each.printed().splitlines()[-1] for each in (first, second)] == [str(published(cache))] * 2
    assert len(calls(tmp_path)) == 1
    assert content(cache) == ["build.lock", "lakefs"]


def test_an_interrupted_build_ends_go_and_leaves_a_clean_cache(
    cache: Path, tmp_path: Path, start_command: Any, held_go: Path
) -> None:
    command = start_command(FIND, cache)
    wait_until(lambda: calls(tmp_path))
    tree = [psutil.Process(calls(tmp_path)[0]), *psutil.Process(calls(tmp_path)[0]).children(recursive=True)]
    command.interrupt()
    assert command.end() != 0
    assert "KeyboardInterrupt" in command.printed()
    wait_until(lambda: not any(is_alive(process) for process in tree))
    assert content(cache) == ["build.lock"]


def test_a_killed_build_leaves_no_program_and_the_next_one_cleans_up(
    cache: Path, tmp_path: Path, start_command: Any, held_go: Path
) -> None:
    command = start_command(FIND, cache)
    wait_until(lambda: calls(tmp_path))
    go = psutil.Process(calls(tmp_path)[0])
    command.kill()
    if sys.platform == "linux":
        wait_until(lambda: not is_alive(go))
    assert not published(cache).exists()
    held_go.touch()
    assert find_binary(ignore, cache_dir=cache, download_url=NOWHERE) == published(cache)
    assert content(cache) == ["build.lock", "lakefs"]
