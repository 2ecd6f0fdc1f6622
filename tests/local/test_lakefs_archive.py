"""The release archive from a real HTTP server of this machine, and the image by an engine that only pretends."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import os
import socket
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from dartifact.domain.errors import ServerUnavailable
from dartifact.local import lakefs_archive, lakefs_docker
from dartifact.local.lakefs_archive import archive_name, fetch_lakefs
from dartifact.local.lakefs_binary import LAKEFS_VERSION, find_binary, find_server
from dartifact.local.lakefs_docker import Image, container_name, find_image
from dartifact.local.lakefs_server import running_lakefs
from tests.local.processes import wait_until

NAME = archive_name(LAKEFS_VERSION, "Linux", "x86_64")
PROGRAM = b"#!/bin/sh\necho lakefs version 1.86.0\n"
FIND = """
from dartifact.local.lakefs_binary import find_binary
say(find_binary(say, cache_dir=pathlib.Path(sys.argv[1]), download_url=sys.argv[2]))
"""


def ignore(line: str) -> None:
    pass


@dataclass
class Release:
    """What the server serves: a path's bytes, or a function that answers by itself. `asked` counts the requests."""

    url: str
    files: dict[str, bytes | Callable[[http.server.BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def publish(self, archive: bytes, *, name: str = NAME, checksum: str | None = None) -> None:
        self.files[f"/{name}"] = archive
        checksum = checksum if checksum is not None else hashlib.sha256(archive).hexdigest()
        self.files["/checksums.txt"] = f"{'0' * 64}  other.tar.gz\n{checksum}  {name}\n".encode()


@pytest.fixture
def release() -> Iterator[Release]:
    """Serve a folder of a release on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path  # a proxy is asked for a whole URL
            release.asked.append(self.path)
            content = release.files.get(path)
            if callable(content):
                content(self)
                return
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        release = Release(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield release
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be a Linux machine without Go, Docker and proxy, whose cache is empty; return the cache."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder to fetch into."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def pack(*members: tuple[str, bytes], links: tuple[tuple[str, str], ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return buffer.getvalue()


GOOD = pack(("LICENSE", b"Apache-2.0"), ("lakectl", b"not wanted"), ("lakefs", PROGRAM))


def published(cache: Path) -> Path:
    return cache / f"lakefs-{LAKEFS_VERSION}" / "lakefs"


def refusal(release: Release, folder: Path) -> str:
    with pytest.raises(ServerUnavailable) as raised:
        fetch_lakefs(LAKEFS_VERSION, folder, ignore, base_url=release.url)
    assert not (folder / "lakefs").exists()
    return raised.value.message


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("Linux", "x86_64", "lakeFS_1.86.0_Linux_x86_64.tar.gz"),
        ("Linux", "aarch64", "lakeFS_1.86.0_Linux_arm64.tar.gz"),
        ("Darwin", "x86_64", "lakeFS_1.86.0_Darwin_x86_64.tar.gz"),
        ("Darwin", "arm64", "lakeFS_1.86.0_Darwin_arm64.tar.gz"),
        ("Linux", "AMD64", "lakeFS_1.86.0_Linux_x86_64.tar.gz"),
    ],
)
def test_each_platform_has_its_archive(system: str, machine: str, name: str) -> None:
    assert archive_name("1.86.0", system, machine) == name


@pytest.mark.parametrize(("system", "machine"), [("FreeBSD", "amd64"), ("Linux", "riscv64"), ("Windows", "AMD64")])
def test_a_platform_without_an_archive_is_named(system: str, machine: str) -> None:
    with pytest.raises(ServerUnavailable, match=f"there is none for {system} on {machine}"):
        archive_name("1.86.0", system, machine)


def test_a_platform_without_an_archive_goes_on_to_the_next_way_without_asking(
    release: Release, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ServerUnavailable, match=r"release archive: there is none for Linux on riscv64\ngo build: "):
        find_binary(ignore, cache_dir=machine, download_url=release.url)
    assert release.asked == []


def test_the_right_archive_is_verified_and_only_its_program_is_kept(release: Release, machine: Path) -> None:
    release.publish(GOOD)
    said: list[str] = []
    found = find_binary(said.append, cache_dir=machine, download_url=f"{release.url}/")
    assert found == published(machine)
    assert found.read_bytes() == PROGRAM
    assert sorted(path.name for path in found.parent.iterdir()) == ["build.lock", "lakefs"]
    assert release.asked == ["/checksums.txt", f"/{NAME}"]
    assert said == [
        f"downloading {release.url}/{NAME}, 0 MB",
        "downloaded lakeFS: 0 MB in 0 s",
        f"lakeFS 1.86.0 is kept as {found}",
    ]
    assert find_binary(ignore, cache_dir=machine, download_url="http://127.0.0.1:9") == found


def test_the_name_is_taken_as_the_release_writes_it(release: Release, folder: Path) -> None:
    release.publish(GOOD, name=NAME.lower())
    assert fetch_lakefs(LAKEFS_VERSION, folder, ignore, base_url=release.url).read_bytes() == PROGRAM


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(release: Release, folder: Path) -> None:
    release.publish(GOOD, checksum="a" * 64)
    assert refusal(release, folder) == f"{NAME} has not the checksum that checksums.txt names: refused"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (b"", f"checksums.txt has no checksum for {NAME}: refused"),
        (f"{'a' * 63}  {NAME}\n".encode(), f"checksums.txt has no checksum for {NAME}: refused"),
        (f"{'a' * 64}  x{NAME}\n".encode(), f"checksums.txt has no checksum for {NAME}: refused"),
        (
            f"{'a' * 64}  {NAME}\n{'b' * 64}  {NAME}\n".encode(),
            f"checksums.txt has several checksums for {NAME}: refused",
        ),
        (b"<html>" * 200_000, "/checksums.txt is no list of checksums"),
    ],
)
def test_without_one_checksum_nothing_is_downloaded(release: Release, folder: Path, listed: bytes, reason: str) -> None:
    release.publish(GOOD)
    release.files["/checksums.txt"] = listed
    assert refusal(release, folder).endswith(reason)
    assert release.asked == ["/checksums.txt"]


def test_a_release_without_checksums_or_archive_is_named(release: Release, folder: Path) -> None:
    assert refusal(release, folder) == f"{release.url}/checksums.txt answers 404"
    release.publish(GOOD)
    del release.files[f"/{NAME}"]
    assert refusal(release, folder) == f"{release.url}/{NAME} answers 404"


def test_a_truncated_download_is_refused(release: Release, folder: Path) -> None:
    def answer_half(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(GOOD)))
        request.end_headers()
        request.wfile.write(GOOD[: len(GOOD) // 2])

    release.publish(GOOD)
    release.files[f"/{NAME}"] = answer_half
    assert refusal(release, folder) == f"{release.url} has cut the download short"


def test_a_truncated_download_of_unknown_length_is_refused(release: Release, folder: Path) -> None:
    def answer_half(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(GOOD[: len(GOOD) // 2])

    release.publish(GOOD)
    release.files[f"/{NAME}"] = answer_half
    assert "has not the checksum" in refusal(release, folder)


def test_a_server_that_falls_silent_is_given_up(
    release: Release, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()

    def answer_a_little(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(GOOD)))
        request.end_headers()
        request.wfile.write(GOOD[:10])
        is_over.wait(60)

    monkeypatch.setattr(lakefs_archive, "_SILENCE_SECONDS", 0.2)
    release.publish(GOOD)
    release.files[f"/{NAME}"] = answer_a_little
    try:
        assert refusal(release, folder) == f"{release.url} has stopped answering"
    finally:
        is_over.set()


def test_a_slow_download_says_how_far_it_is_and_has_an_end(
    release: Release, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        """Four seconds pass with each look."""

        now = 0.0

        def monotonic(self) -> float:
            self.now += 4.0
            return self.now

    archive = pack(("lakefs", PROGRAM), ("noise", os.urandom(600_000)))
    release.publish(archive)
    said: list[str] = []
    monkeypatch.setattr(lakefs_archive, "time", Clock())
    fetch_lakefs(LAKEFS_VERSION, folder, said.append, base_url=release.url)
    assert said[1] == "downloading lakeFS: 0 of 1 MB, 8 s"
    assert len([line for line in said if line.startswith("downloading lakeFS:")]) <= len(archive) // (1 << 16) // 2 + 1
    (folder / "lakefs").unlink()
    monkeypatch.setattr(lakefs_archive, "_LONGEST_SECONDS", 10.0)
    assert "the download is too slow: 0 of 1 MB" in refusal(release, folder)


def test_redirects_are_followed(release: Release, folder: Path) -> None:
    def redirect(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", f"/elsewhere/{NAME}")
        request.send_header("Content-Length", "0")
        request.end_headers()

    release.publish(GOOD)
    release.files[f"/elsewhere/{NAME}"] = GOOD
    release.files[f"/{NAME}"] = redirect
    assert fetch_lakefs(LAKEFS_VERSION, folder, ignore, base_url=release.url).read_bytes() == PROGRAM


def test_a_redirect_to_an_unprotected_address_is_refused() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https":
            return httpx.Response(302, headers={"Location": "http://mirror/x"})
        return httpx.Response(200, content=b"anything")

    with (
        httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True) as client,
        pytest.raises(ServerUnavailable, match="https://release/x is redirected to an unprotected address: refused"),
        lakefs_archive._opened(client, "https://me:secret@release/x"),
    ):
        pass


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (pack(("../lakefs", PROGRAM), ("lakefs", PROGRAM)), "reaches outside its folder ('../lakefs'): refused"),
        (pack(("/etc/lakefs", PROGRAM)), "reaches outside its folder ('/etc/lakefs'): refused"),
        (pack(("bin/../../x", b""), ("lakefs", PROGRAM)), "reaches outside its folder ('bin/../../x'): refused"),
        (pack(links=(("lakefs", "/bin/sh"),)), "lakefs in the archive is no ordinary program: refused"),
        (pack(("bin/lakefs", PROGRAM)), "the archive holds no lakefs"),
        (b"no archive at all", "the archive cannot be read"),
        (GOOD[:-40], "the archive cannot be read"),
    ],
    ids=("parent", "absolute", "hidden parent", "link", "deeper", "no archive", "truncated"),
)
def test_a_hostile_or_broken_archive_is_refused(release: Release, folder: Path, archive: bytes, reason: str) -> None:
    release.publish(archive)
    assert reason in refusal(release, folder)
    assert not (folder.parent / "lakefs").exists()


def test_a_full_disk_is_named(release: Release, folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    release.publish(pack(("lakefs", os.urandom(100_000))))
    (folder / "archive.tar.gz").symlink_to("/dev/full")
    assert refusal(release, folder) == f"{folder / 'archive.tar.gz'}: the disk is full"


def test_a_program_of_another_version_in_the_archive_is_not_kept(release: Release, machine: Path) -> None:
    release.publish(pack(("lakefs", b"#!/bin/sh\necho lakefs version 1.50.0\n")))
    with pytest.raises(ServerUnavailable, match=r"release archive: it was got, but cannot be used: .* 1\.50\.0"):
        find_binary(ignore, cache_dir=machine, download_url=release.url)
    assert [path.name for path in published(machine).parent.iterdir()] == ["build.lock"]


def test_after_a_failed_download_go_builds_it(release: Release, machine: Path, write_program: Any) -> None:
    write_program("go", "printf '#!/bin/sh\\necho lakefs version 1.86.0\\n' > lakefs; /bin/chmod +x lakefs")
    said: list[str] = []
    assert find_binary(said.append, cache_dir=machine, download_url=release.url) == published(machine)
    assert said[0] == f"lakeFS cannot be had by release archive: {release.url}/checksums.txt answers 404"


def test_without_a_network_each_address_is_tried_once(folder: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: refuses at once
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ServerUnavailable, match=f"cannot be reached .*{errno.ECONNREFUSED}"):
            fetch_lakefs(LAKEFS_VERSION, folder, ignore, base_url=url)
    with pytest.raises(ServerUnavailable, match=r"http://no-such-host\.invalid cannot be reached"):
        fetch_lakefs(LAKEFS_VERSION, folder, ignore, base_url="http://no-such-host.invalid")
    with pytest.raises(ServerUnavailable, match="ftp://mirror cannot be reached"):
        fetch_lakefs(LAKEFS_VERSION, folder, ignore, base_url="ftp://mirror")


def test_the_proxy_variables_are_respected_and_their_secrets_not_shown(
    release: Release, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.publish(GOOD)
    monkeypatch.setenv("HTTP_PROXY", release.url)
    fetch_lakefs(LAKEFS_VERSION, folder, ignore, base_url="http://lakefs.invalid")
    assert release.asked == ["http://lakefs.invalid/checksums.txt", f"http://lakefs.invalid/{NAME}"]
    monkeypatch.setenv("HTTP_PROXY", "nonsense://me:secret@proxy")
    with pytest.raises(ServerUnavailable, match="or the proxy for it cannot be used") as raised:
        fetch_lakefs(LAKEFS_VERSION, folder, ignore, base_url="http://you:hidden@lakefs.invalid")
    assert "secret" not in raised.value.message
    assert "hidden" not in raised.value.message


def test_two_processes_at_once_download_once(release: Release, machine: Path, start_command: Any) -> None:
    go_on = threading.Event()

    def answer_late(request: http.server.BaseHTTPRequestHandler) -> None:
        go_on.wait(60)
        request.send_response(200)
        request.send_header("Content-Length", str(len(GOOD)))
        request.end_headers()
        request.wfile.write(GOOD)

    name = archive_name(LAKEFS_VERSION, os.uname().sysname, os.uname().machine)
    release.publish(GOOD, name=name)
    release.files[f"/{name}"] = answer_late
    first = start_command(FIND, machine, release.url)
    wait_until(lambda: f"/{name}" in release.asked)
    second = start_command(FIND, machine, release.url)
    second.wait_for("waiting for another process that is getting lakeFS")
    go_on.set()
    assert (first.end(), second.end()) == (0, 0)
    assert [each.printed().splitlines()[-1] for each in (first, second)] == [str(published(machine))] * 2
    assert release.asked.count(f"/{name}") == 1


# The image. No engine runs where this was written: `docker` is a program that does what is asked by hand.

ENGINE = """
import json, os, pathlib, signal, subprocess, sys
state, server = pathlib.Path(sys.argv[1]), sys.argv[2]
call = sys.argv[3:]
with (state / "calls").open("a") as log:
    log.write(json.dumps(call) + "\\n")
if call[:2] == ["context", "inspect"]:
    print("unix:///var/run/docker.sock")
elif call[0] == "info":
    print('["name=seccomp"]')
elif call[:2] == ["image", "inspect"]:
    sys.exit(0 if (state / "pulled").exists() else 1)
elif call[0] == "pull":
    (state / "pulled").touch()
elif call[0] == "run":
    options = dict(zip(call[1:], call[2:]))
    variables = dict(value.split("=", 1) for flag, value in zip(call, call[1:]) if flag == "--env")
    arguments = call[call.index("treeverse/lakefs:1.86.0") + 1:]
    child = subprocess.Popen([server, *arguments], env=variables, start_new_session=True)
    (state / "container").write_text(json.dumps([options["--name"], child.pid, options["--publish"].split(":")[-1]]))
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = child.wait()
    (state / "container").unlink()
    sys.exit(code)
elif call[:2] == ["container", "inspect"]:
    if not (state / "container").exists():
        sys.exit("no such container")
    name, pid, port = json.loads((state / "container").read_text())
    print("true", json.dumps({f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}))
elif call[:2] == ["rm", "--force"]:
    if (state / "container").exists():
        name, pid, port = json.loads((state / "container").read_text())
        if name == call[2]:
            os.kill(pid, signal.SIGKILL)
else:
    sys.exit(f"what is {call}?")
"""


@pytest.fixture
def engine(tmp_path: Path, write_program: Any, binary: Path) -> Path:
    """Put a `docker` on PATH that runs the real server in a process of its own; return the folder of its notes."""
    state = tmp_path / "engine"
    state.mkdir()
    (state / "engine.py").write_text(ENGINE)
    write_program("docker", f'exec {sys.executable} {state}/engine.py {state} {binary} "$@"')
    return state


@pytest.fixture(scope="session")
def binary() -> Path:
    """Return the real server program of this machine, found before PATH is emptied."""
    return find_binary(print)


def test_the_image_is_the_last_way_and_serves_like_any_server(
    engine: Path, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, said = tmp_path / "a home, with a comma", []
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine))
    with running_lakefs(home, said.append, download_url="http://127.0.0.1:9") as endpoint:
        key = endpoint.access_key_id, endpoint.secret_access_key
        assert httpx.get(f"{endpoint.url}/api/v1/user", auth=key).status_code == 200
        assert (engine / "container").exists()
        with running_lakefs(home, said.append) as joined:
            assert joined == endpoint
    assert not (engine / "container").exists()
    assert "pulling the image treeverse/lakefs:1.86.0: once per machine, about 200 MB" in said
    assert "lakeFS 1.86.0 will run from its Docker image treeverse/lakefs:1.86.0" in said
    assert endpoint.secret_access_key not in (engine / "calls").read_text()


def test_a_container_that_outlived_its_command_is_removed_before_the_next_start(
    engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = find_image(LAKEFS_VERSION, ignore)
    with running_lakefs(tmp_path / "home", ignore, binary=image):
        pass
    calls = [line for line in (engine / "calls").read_text().splitlines() if '"rm"' in line or '"run", "--rm"' in line]
    kinds = ["rm" if '"rm"' in line else "run" for line in calls]
    assert kinds == ["rm", "run", "rm"]
    assert all(container_name((tmp_path / "home" / "lakefs").resolve()) in line for line in calls)


@pytest.mark.parametrize(
    ("docker", "reason"),
    [
        ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "no engine can be reached (Cannot connect to the"),
        (
            'case $1 in info) echo "[]";; context) echo tcp://far:2375;; *) exit 1;; esac',
            "the engine at tcp://far:2375 is not on this machine",
        ),
        (
            'case $1 in info) echo "[]";; context) echo unix:///x;; pull) echo no such host; exit 1;; *) exit 1;; esac',
            "treeverse/lakefs:1.86.0 cannot be pulled (no such host)",
        ),
    ],
)
def test_an_engine_that_cannot_help_is_named_after_all_other_ways(
    machine: Path, write_program: Any, docker: str, reason: str
) -> None:
    write_program("docker", docker)
    with pytest.raises(ServerUnavailable) as raised:
        find_server(ignore, cache_dir=machine, download_url="http://127.0.0.1:9")
    ways = [line.partition(":")[0] for line in raised.value.message.splitlines()[1:]]
    assert ways == ["PATH", "cache", "release archive", "go build", "Docker"]
    assert reason in raised.value.message


def test_a_rootless_engine_runs_the_server_as_its_own_root(tmp_path: Path) -> None:
    rooted, rootless = (Image("docker", "image", is_rootless=each) for each in (False, True))
    assert "--user" in rooted.run_command(tmp_path, tmp_path / "config", 1234)
    command = rootless.run_command(tmp_path, tmp_path / "config", 1234)
    assert "--user" not in command
    assert "127.0.0.1:1234:1234" in command
    assert f"type=bind,source={tmp_path},target={tmp_path}" in command
    assert lakefs_docker.container_name(tmp_path) in command
