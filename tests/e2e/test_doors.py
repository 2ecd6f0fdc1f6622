"""The doors of the browser UI, on a real server and in a real Chromium: who may ask, what is asked of others."""

from __future__ import annotations

import csv
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, expect

from dartifact.commands.review import decide as review
from dartifact.domain.decisions import Decision
from dartifact.local.browser_ui import make_ui, write_command
from dartifact.local.lakefs_server import choose_port
from tests.conftest import PROJECT
from tests.support.browser import PATIENCE, find_chromium, running_browser, running_ui
from tests.support.sources import bad_order, customer
from tests.support.world import World

PAGES = ("now", "runs", "run", "dartifacts", "production", "activity")
needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")
expect.set_options(timeout=PATIENCE)
PROXY = {
    "DARTIFACT_SIGN_IN": "proxy",
    "DARTIFACT_PROXY_SECRET": "let me in",
    "DARTIFACT_ROLES": '{"owners": "reviewer"}',
}
OLGA = {"X-Dartifact-Proxy": "let me in", "X-Forwarded-Email": "olga@example.com", "X-Forwarded-Groups": "owners"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


def shake_hands(url: str, host: str, origin: str) -> int:
    """Ask a server for a WebSocket by another name; return the status of the answer: 101 where it is opened."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    connection.putrequest("GET", "/_stcore/stream", skip_host=True)
    for name, value in {
        "Host": host, "Origin": origin, "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }.items():  # fmt: skip
        connection.putheader(name, value)
    connection.endheaders()
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@contextmanager
def started_by_hand(log: Path, *flags: str) -> Iterator[tuple[str, int]]:
    """Run `streamlit run ui/app.py` as somebody does who knows nothing of flags; yield URL and process id."""
    port = choose_port()
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(PROJECT / "ui" / "app.py"),
        f"--server.port={port}",
        *flags,
    ]
    env = {**os.environ, "PYTHONPATH": str(PROJECT), "DARTIFACT_PROJECT": str(PROJECT)}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=log.parent, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    if httpx.get(f"{url}/_stcore/health", trust_env=False).is_success:
                        break
                except httpx.HTTPError:
                    assert process.poll() is None, log.read_text(errors="replace")
                time.sleep(0.1)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(timeout=20)


def list_addresses(pid: int, port: int | None) -> set[str]:
    sockets = psutil.Process(pid).net_connections("tcp")
    return {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN and each.laddr.port == port}


def test_started_by_hand_it_listens_on_this_machine_alone(tmp_path: Path) -> None:
    with started_by_hand(tmp_path / "ui.log") as (url, pid):
        port = urlsplit(url).port
        assert list_addresses(pid, port) == {"127.0.0.1"}
        assert shake_hands(url, f"127.0.0.1:{port}", url) == 101
        assert shake_hands(url, f"localhost:{port}", f"http://localhost:{port}") == 101
        assert shake_hands(url, f"evil.example:{port}", f"http://evil.example:{port}") == 403
        config = httpx.get(f"{url}/_stcore/host-config", trust_env=False).json()
        assert config["allowedOrigins"] == ["http://127.0.0.1"], "Streamlit lets its own cloud steer the page"


def test_the_ui_that_the_commands_start_is_asked_by_known_names_only(tmp_path: Path) -> None:
    with running_ui(tmp_path / "ui.log") as url:
        port = urlsplit(url).port
        assert shake_hands(url, f"127.0.0.1:{port}", url) == 101
        assert shake_hands(url, f"evil.example:{port}", f"http://evil.example:{port}") == 403
    with running_ui(tmp_path / "ui.log", None, "--server.allowedHosts=data.example.com") as url:
        port = urlsplit(url).port
        assert shake_hands(url, "data.example.com", "http://data.example.com") == 101
        assert shake_hands(url, "evil.example", "http://evil.example") == 403


def test_port_and_names_are_settings(tmp_path: Path) -> None:
    app = PROJECT / "ui" / "app.py"
    hosts = ["data.example.com", "*.example.org"]
    assert [f"--server.allowedHosts={host}" for host in hosts] == list(write_command(app, 1, hosts))[-2:]
    service = make_ui(app, tmp_path, {}, tmp_path / "ui.log", lambda: False, port=8600, hosts=hosts)
    assert service.where == "http://127.0.0.1:8600"
    assert "--server.port=8600" in service.command
    assert "--server.allowedHosts=data.example.com" in service.command


@needs_chromium
def test_a_server_that_others_reach_lets_nobody_be_the_local_user(
    named_world: World, chromium: Browser, tmp_path: Path
) -> None:
    with started_by_hand(tmp_path / "ui.log", "--server.address=0.0.0.0") as (url, _):
        page = chromium.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{url}/production")
        expect(page.get_by_text("this server listens on 0.0.0.0")).to_be_visible()
        expect(page.get_by_text("You are")).to_have_count(0)
        page.close()


@needs_chromium
def test_no_page_asks_anything_of_another_host(named_world: World, chromium: Browser, tmp_path: Path) -> None:
    named_world.land("customers", customer(1))
    bad = named_world.bring("orders", bad_order(2))
    with running_ui(tmp_path / "ui.log") as url:
        index = re.sub(r"<!--.*?-->", "", httpx.get(url, trust_env=False).text, flags=re.DOTALL)
        assert re.findall(r"(?:https?:)?//[a-z0-9.-]+", index) == []
        page = chromium.new_page()
        page.set_default_timeout(PATIENCE)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in PAGES:
            page.goto(f"{url}/{'' if name == 'now' else name}")
            expect(page.get_by_text("You are")).to_be_visible()
        page.goto(f"{url}/run?run={bad.run_id}&part=Distributions&of=amount")
        expect(page.get_by_text("share of rows").first).to_be_attached()
        icon = page.locator("link[rel='shortcut icon']").get_attribute("href") or ""
        assert icon.startswith((url, "/", "./", "data:"))
        page.wait_for_timeout(1000)
        page.close()
    hosts = {urlsplit(each).netloc for each in asked if urlsplit(each).scheme not in ("data", "blob")}
    assert hosts == {urlsplit(url).netloc}


@needs_chromium
def test_what_people_write_is_no_link(named_world: World, chromium: Browser, tmp_path: Path) -> None:
    named_world.land("customers", customer(1))
    bad = named_world.bring("orders", bad_order(2))
    evil = "see www.evil.example, https://evil.example/x, HTTP://evil.example and [here](https://evil.example)"
    review.reject(named_world.stack, bad.run_id, Decision("bob", evil))
    with running_ui(tmp_path / "ui.log") as url:
        page = chromium.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{url}/run?run={bad.run_id}")
        shown = page.get_by_text("evil.example").first
        expect(shown).to_be_visible()
        assert re.sub("\u2060", "", shown.inner_text()).endswith(evil)
        assert page.locator("a[href*='evil' i]").count() == 0
        page.close()


@needs_chromium
def test_whom_a_proxy_names_takes_files_away(named_world: World, chromium: Browser, tmp_path: Path) -> None:
    named_world.land("customers", customer(1))
    bad = named_world.bring("orders", bad_order(2) | {"currency": "=1+1"})
    with running_ui(tmp_path / "ui.log", PROXY) as url:
        context = chromium.new_context(
            base_url=f"{url}/", extra_http_headers={**OLGA, "X-Forwarded-For": "198.51.100.4"}
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"run?run={bad.run_id}&part=Failing rows")
        files = []
        page.get_by_text("Upload a fix").click()
        for label in ("Download rows", "Download as CSV"):
            with page.expect_download() as download:
                page.get_by_role("button", name=label).click()
            files.append(list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines())))
        assert [rows[0]["currency"] for rows in files] == ["'=1+1", "'=1+1"]
        page.get_by_label("Reason", exact=True).fill("known")
        page.get_by_role("button", name="Reject").first.click()
        expect(page.get_by_text(f"{bad.run_id} is now rejected")).to_be_visible()
        page.goto("activity")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export as CSV").click()
        rows = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
        context.close()
    events = named_world.stack.ledger.events(most=10_000)
    assert [(row["sequence"], row["seal"]) for row in rows] == [
        (str(each.sequence), each.seal) for each in events[::-1]
    ]
    assert all(row["seal"] for row in rows)
    [rejected] = named_world.events("RunRejected")
    assert (rejected.actor, rejected.place) == ("person:olga@example.com", "browser at 198.51.100.4")
