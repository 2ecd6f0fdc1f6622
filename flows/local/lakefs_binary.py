"""Finding the lakeFS server program: on PATH, in the user's cache, or built by Go."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from flows.domain.errors import ServerUnavailable
from flows.local.lakefs_build import GO_VERSION, build_lakefs
from flows.local.locks import hold_lock

LAKEFS_VERSION = "1.86.0"


def find_binary(progress: Callable[[str], None], *, cache_dir: Path | None = None) -> Path:
    """Return a lakeFS program of exactly the wanted version, building it into the cache when there is none.

    `cache_dir` stands for the user's `~/.cache/dartifact`. ServerUnavailable names every way that was tried.
    """
    cached = (cache_dir or _user_cache()).absolute() / f"lakefs-{LAKEFS_VERSION}" / "lakefs"
    on_path = shutil.which("lakefs")
    path_problem = _find_problem(Path(on_path)) if on_path else "there is no `lakefs`"
    if on_path and not path_problem:
        return Path(on_path).absolute()
    cache_problem = _find_problem(cached)
    if not cache_problem:
        return cached
    try:
        return _build_once(cached, progress)
    except ServerUnavailable as error:
        tried = f"PATH: {path_problem}", f"cache: {cache_problem}", f"go build: {error.message}"
    raise ServerUnavailable(
        "\n".join([f"no lakeFS {LAKEFS_VERSION} server was found, and none could be built", *tried]),
        hint=f"install Go >= {GO_VERSION} (https://go.dev/dl), or put lakefs {LAKEFS_VERSION} on PATH, "
        "or name a running server in DARTIFACT_LAKE_URL",
    )


def _build_once(cached: Path, progress: Callable[[str], None]) -> Path:
    """Build and publish the program, unless another process does so first."""
    folder = cached.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(folder / "build.lock", progress, "waiting for another process that is building lakeFS"):
            if not _find_problem(cached):
                return cached
            for left_by_a_killed_build in folder.glob("build-*/"):
                shutil.rmtree(left_by_a_killed_build)
            # In the cache's own folder, so that the program gets its final name in one atomic step.
            with tempfile.TemporaryDirectory(dir=folder, prefix="build-", ignore_cleanup_errors=True) as work:
                built = build_lakefs(LAKEFS_VERSION, Path(work), progress)
                if problem := _find_problem(built):
                    raise ServerUnavailable(f"it was built, but cannot be used: {problem}")
                built.replace(cached)
    except OSError as error:
        raise ServerUnavailable(f"{error.filename or folder}: {error.strerror or error}") from error
    progress(f"lakeFS {LAKEFS_VERSION} is built and kept as {cached}")
    return cached


def _find_problem(binary: Path) -> str:
    """Return why this is not the program we want; nothing when it is."""
    if not binary.is_file():
        return f"{binary} does not exist"
    try:
        answer = subprocess.run(
            [binary, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )
    except OSError as error:
        return f"{binary} cannot be run ({error.strerror})"
    except subprocess.TimeoutExpired:
        return f"{binary} --version does not end"
    version = re.search(r"\bversion v?(\S+)", answer.stdout)
    if answer.returncode != 0 or version is None:
        return f"{binary} does not tell its version (exit code {answer.returncode})"
    return "" if version[1] == LAKEFS_VERSION else f"{binary} is version {version[1]}, not {LAKEFS_VERSION}"


def _user_cache() -> Path:
    """Return `~/.cache/dartifact`, or its place by the XDG rules (a relative value is to be ignored)."""
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (root if root.is_absolute() else Path.home() / ".cache") / "dartifact"
