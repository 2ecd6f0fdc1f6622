"""A real browser on the real UI: Chromium, and a Streamlit server that the settings in the environment name."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, sync_playwright

from dartifact.local.browser_ui import write_command
from dartifact.local.lakefs_server import choose_port
from tests.conftest import PROJECT

PATIENCE = 30_000
"""Milliseconds that a page may take to show something, on a machine that does other things as well."""


def find_chromium() -> str | None:
    """Return where Chromium is, None where it is not installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def running_ui(log: Path, environment: Mapping[str, str] | None = None, *flags: str, base: str = "") -> Iterator[str]:
    """Run the browser UI on a free port and yield its URL; what it prints goes to a file."""
    port = choose_port()
    app = PROJECT / "ui" / "app.py"
    command = [*write_command(app, port), *flags]
    if base:
        command.append(f"--server.baseUrlPath={base}")
    url = f"http://127.0.0.1:{port}" + (f"/{base}" if base else "")
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=PROJECT, env={**os.environ, **(environment or {})}, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            _wait(f"{url}/_stcore/health", process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=2, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"the UI did not start:\n{log.read_text(errors='replace')[-2000:]}")
