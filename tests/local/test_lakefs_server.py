from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from dartifact.domain.errors import ServerUnavailable
from dartifact.local import lakefs_server
from dartifact.local.child_process import running_child
from dartifact.local.lakefs_endpoint import is_alive
from dartifact.local.lakefs_server import Endpoint, running_lakefs
from tests.local.processes import wait_until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a death signal is what only Linux has")
USE = """
from dartifact.local.lakefs_server import running_lakefs
with running_lakefs(pathlib.Path(sys.argv[1]), say, binary=pathlib.Path(sys.argv[2])) as endpoint:
    say(f"using {endpoint.url}.")
    sys.stdin.read()
say("left")
"""


def ignore(line: str) -> None:
    pass


def note(home: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((home / "lakefs" / "server.json").read_text())
    return content


def server(home: Path) -> psutil.Process:
    return psutil.Process(note(home)["pid"])


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/_health", trust_env=False).status_code == 200
    return False


def call(endpoint: Endpoint, method: str, path: str, **content: Any) -> httpx.Response:
    key = endpoint.access_key_id, endpoint.secret_access_key
    return httpx.request(method, f"{endpoint.url}/api/v1{path}", auth=key, trust_env=False, **content)


def create_repository(endpoint: Endpoint) -> None:
    namespace = {"name": "kept", "storage_namespace": "local://kept"}
    assert call(endpoint, "POST", "/repositories", json=namespace).status_code == 201


def has_repository(endpoint: Endpoint) -> bool:
    return call(endpoint, "GET", "/repositories/kept").status_code == 200


def remains(home: Path) -> list[str]:
    """Return what is in the folder of the store beyond what stays there for ever."""
    kept = {"config.yaml", "secrets.json", "data", "users", "server.lock", "server.log", "server.log.old"}
    users = [path.name for path in (home / "lakefs" / "users").iterdir()]
    return users + [path.name for path in (home / "lakefs").iterdir() if path.name not in kept]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a home; no server of it may be left when the test has ended."""
    yield tmp_path / "home"
    left = [each for each in psutil.process_iter() if str(tmp_path / "home") in " ".join(command_line(each))]
    for process in left:
        process.kill()
    assert not left


def command_line(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def test_a_server_lives_as_long_as_its_block(home: Path, binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEFS_LISTEN_ADDRESS", "127.0.0.1:1")  # would win over our configuration
    said: list[str] = []
    with running_lakefs(home, said.append, binary=binary) as endpoint:
        process = server(home)
        assert answers(endpoint.url)
        assert call(endpoint, "GET", "/user").json()["user"]["id"] == "dartifact"
        # Loopback only, and nothing but the one port.
        listening = [each.laddr for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
        assert listening == [("127.0.0.1", urlsplit(endpoint.url).port)]
    assert said == [f"lakeFS started at {endpoint.url}"]
    assert not is_alive(process)
    assert not answers(endpoint.url)
    assert remains(home) == []


def test_secrets_are_for_the_owner_only_and_not_shown(home: Path, binary: Path) -> None:
    with running_lakefs(home, ignore, binary=binary) as endpoint:
        folder = home / "lakefs"
        private = ["config.yaml", "secrets.json", "server.json"]
        assert [stat.S_IMODE((folder / name).stat().st_mode) for name in private] == [0o600] * 3
        assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "data")] == [0o700] * 2
        assert endpoint.secret_access_key in (folder / "secrets.json").read_text()
        assert endpoint.secret_access_key not in (folder / "server.json").read_text() + repr(endpoint)


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt])
def test_a_server_ends_with_a_block_that_raises(home: Path, binary: Path, ending: type[BaseException]) -> None:
    process = None
    with pytest.raises(ending), running_lakefs(home, ignore, binary=binary):  # noqa: PT012
        process = server(home)
        raise ending
    assert process
    assert not is_alive(process)
    assert remains(home) == []


def test_an_interrupted_command_leaves_no_server(home: Path, binary: Path, start_command: Any) -> None:
    command = start_command(USE, home, binary)
    command.wait_for("using ")
    process = server(home)
    command.interrupt()
    assert command.process.wait(60) != 0
    assert "KeyboardInterrupt" in command.printed()
    assert not is_alive(process)
    assert remains(home) == []


def test_data_and_key_outlive_the_server(home: Path, binary: Path) -> None:
    with running_lakefs(home, ignore, binary=binary) as first:
        create_repository(first)
    with running_lakefs(home, ignore, binary=binary) as second:
        assert has_repository(second)
    assert (first.access_key_id, first.secret_access_key) == (second.access_key_id, second.secret_access_key)


@linux_only
def test_a_killed_command_takes_its_server_along_and_the_next_has_its_data(
    home: Path, binary: Path, start_command: Any
) -> None:
    command = start_command(USE, home, binary)
    command.wait_for("using ")
    killed, process = note(home), server(home)
    with running_lakefs(home, ignore) as endpoint:
        create_repository(endpoint)
    command.kill()
    # At once, while the old server may still be on its way out.
    with running_lakefs(home, ignore, binary=binary) as endpoint:
        assert not is_alive(process)
        assert note(home)["pid"] != killed["pid"]
        assert has_repository(endpoint)
    assert remains(home) == []


@linux_only
def test_a_killed_command_leaves_no_server_by_itself(home: Path, binary: Path, start_command: Any) -> None:
    command = start_command(USE, home, binary)
    command.wait_for("using ")
    process, url = server(home), note(home)["url"]
    command.kill()
    wait_until(lambda: not is_alive(process))
    assert not answers(url)


def test_who_joins_keeps_the_server_alive_and_is_named(home: Path, binary: Path, start_command: Any) -> None:
    owner = start_command(USE, home, binary)
    owner.wait_for("using ")
    process, url = server(home), note(home)["url"]
    said: list[str] = []
    with running_lakefs(home, said.append) as endpoint:
        assert said == [f"joined the lakeFS server at {url}"]
        assert endpoint.url == url
        owner.process.stdin.close()
        owner.wait_for(f"lakeFS is still used by pid {psutil.Process().pid} (")
        assert answers(url)
        assert "left" not in owner.printed()
    assert owner.process.wait(60) == 0
    assert not is_alive(process)
    assert remains(home) == []


def test_who_joins_does_not_stop_the_server(home: Path, binary: Path) -> None:
    with running_lakefs(home, ignore, binary=binary) as outer:
        with running_lakefs(home, ignore) as inner:
            assert inner == outer
        assert answers(outer.url)


def test_an_interrupt_ends_the_wait_for_others_and_the_server(home: Path, binary: Path, start_command: Any) -> None:
    def interrupt_the_wait(line: str) -> None:
        if "still used by" in line:
            raise KeyboardInterrupt

    process = None
    with pytest.raises(KeyboardInterrupt) as raised, running_lakefs(home, interrupt_the_wait, binary=binary):  # noqa: PT012
        process = server(home)
        joiner = start_command(USE, home, binary)
        joiner.wait_for("using ")
    assert process
    assert not is_alive(process)
    assert joiner.end() == 0
    assert remains(home) in ([], ["server.json"])
    del raised  # until here it keeps alive what an interrupted command would drop, and end, with itself


@linux_only
def test_a_killed_user_is_not_waited_for(home: Path, binary: Path, start_command: Any) -> None:
    said: list[str] = []
    with running_lakefs(home, said.append, binary=binary):
        joiner = start_command(USE, home, binary)
        joiner.wait_for("using ")
        joiner.kill()
    assert len(said) == 1
    assert remains(home) == []


def test_commands_that_start_together_share_one_server(home: Path, binary: Path, start_command: Any) -> None:
    at_once = "import dartifact.local.lakefs_server; say('ready'); sys.stdin.readline()"
    commands = [start_command(at_once + USE, home, binary) for _ in range(4)]
    for command in commands:
        command.wait_for("ready")
    for command in commands:
        command.process.stdin.write(b"go\n")
        command.process.stdin.flush()
    for command in commands:
        command.wait_for("using ")
    urls = {re.findall(r"using (\S+)\.\n", command.printed())[0] for command in commands}
    assert urls == {note(home)["url"]}
    assert sum("started" in command.printed() for command in commands) == 1
    for command in commands:
        command.process.stdin.close()
    assert [command.process.wait(60) for command in commands] == [0] * 4
    assert remains(home) == []


def test_a_server_outlives_the_thread_that_started_it(home: Path, binary: Path) -> None:
    with contextlib.ExitStack() as stack:
        endpoints: list[Endpoint] = []
        entering = threading.Thread(
            target=lambda: endpoints.append(stack.enter_context(running_lakefs(home, ignore, binary=binary)))
        )
        entering.start()
        entering.join()
        # A server that had been sent TERM at the end of the thread would be gone by the end of these.
        assert all(call(endpoints[0], "GET", "/user").status_code == 200 for _ in range(15))
        process = server(home)
        assert is_alive(process)
    assert not is_alive(process)


def test_a_crashed_server_is_replaced_while_its_owner_lives_on(home: Path, binary: Path) -> None:
    with running_lakefs(home, ignore, binary=binary) as first:
        create_repository(first)
        server(home).kill()
        with running_lakefs(home, ignore, binary=binary) as second:
            assert has_repository(second)
    assert remains(home) == []


def test_a_note_with_a_recycled_pid_is_ignored(home: Path, binary: Path) -> None:
    with running_lakefs(home, ignore, binary=binary):
        hour_ago = note(home)["created"] - 3600
        stale = note(home) | {"created": hour_ago}
    with running_child(["sleep", "600"], cwd=home, env=os.environ, output=subprocess.DEVNULL) as innocent:
        (home / "lakefs" / "server.json").write_text(json.dumps(stale | {"pid": innocent.pid}))
        said: list[str] = []
        with running_lakefs(home, said.append, binary=binary) as endpoint:
            assert said == [f"lakeFS started at {endpoint.url}"]
        assert innocent.poll() is None


def test_an_orphan_is_taken_over_and_stopped_in_the_end(
    home: Path, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_lakefs(home, ignore, binary=binary) as endpoint:
        left = note(home)
    command = [str(binary), "run", "--config", str(home / "lakefs" / "config.yaml")]
    log = (home / "lakefs" / "server.log").open("ab")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as orphan:
        created = psutil.Process(orphan.pid).create_time()
        (home / "lakefs" / "server.json").write_text(json.dumps(left | {"pid": orphan.pid, "created": created}))
        monkeypatch.setattr(lakefs_server, "_ORPHAN_SECONDS", 0.01)
        said: list[str] = []
        with running_lakefs(home, said.append) as adopted:
            assert said == [f"took over the lakeFS server at {endpoint.url}, whose owner has died"]
            assert adopted == endpoint
            assert orphan.poll() is None
        orphan.wait(60)
    assert remains(home) == []


class Stranger(http.server.BaseHTTPRequestHandler):
    """A server of somebody else that says yes to everything."""

    heard: list[str]

    def do_GET(self) -> None:
        self.heard.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_port_that_was_taken_meanwhile_is_changed_and_its_new_owner_gets_no_key(
    home: Path, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Stranger.heard = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        taken = stranger.server_address[1]
        free: Callable[[], int] = lakefs_server.choose_port
        ports = iter([taken, free()])
        monkeypatch.setattr(lakefs_server, "choose_port", lambda: next(ports))
        with running_lakefs(home, ignore, binary=binary) as endpoint:
            assert urlsplit(endpoint.url).port != taken
            assert answers(endpoint.url)
        stranger.shutdown()
    assert Stranger.heard == []
    assert "address already in use" in (home / "lakefs" / "server.log").read_text()


def test_a_server_that_dies_at_its_start_is_explained_by_its_log(
    home: Path, write_program: Callable[[str, str], Path]
) -> None:
    program = write_program("lakefs", "echo the cause >&2; exit 3")
    with pytest.raises(ServerUnavailable) as raised, running_lakefs(home, ignore, binary=program):
        pass
    first, *rest = str(raised.value).splitlines()
    log = home / "lakefs" / "server.log"
    assert first == f"the lakeFS server that was just started has ended; its log is {log}, ending with:"
    assert rest == ["    the cause"]
    assert remains(home) == []


def test_a_program_that_cannot_be_started_is_named(home: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with (
        pytest.raises(ServerUnavailable, match=re.escape(f"({missing}: No such file or directory)")),
        running_lakefs(home, ignore, binary=missing),
    ):
        pass
    assert remains(home) == []


def test_a_key_the_server_does_not_take_is_an_error(home: Path, binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_lakefs(home, ignore, binary=binary) as endpoint:
        path = home / "lakefs" / "secrets.json"
        path.write_text(path.read_text().replace(endpoint.secret_access_key, "another"))
        monkeypatch.setattr(lakefs_server, "_READY_SECONDS", 0.2)
        with (
            pytest.raises(ServerUnavailable, match=f"answers 401 to the key {endpoint.access_key_id}"),
            running_lakefs(home, ignore),
        ):
            pass
        assert answers(endpoint.url)


@pytest.mark.parametrize("loss", ["is missing", "is damaged"])
def test_lost_secrets_are_never_made_anew_for_old_data(home: Path, binary: Path, loss: str) -> None:
    (home / "lakefs" / "data").mkdir(parents=True)
    secrets = home / "lakefs" / "secrets.json"
    if loss == "is damaged":
        secrets.write_text("{")
    with (
        pytest.raises(ServerUnavailable, match=re.escape(f"{secrets} {loss}")) as raised,
        running_lakefs(home, ignore, binary=binary),
    ):
        pass
    assert f"move {home / 'lakefs'} away" in str(raised.value.hint)
