"""Finding the lakeFS server program: on PATH, in the user's cache, downloaded, built by Go, or in its image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from dartifact.domain.errors import ServerUnavailable
from dartifact.domain.progress import Progress
from dartifact.local.lakefs_build import GO_VERSION, build_lakefs
from dartifact.local.lakefs_docker import Image, find_image
from dartifact.local.locks import hold_lock

LAKEFS_VERSION = "1.86.0"

Way = Callable[[Path], Path]
"""A way to get the program: given an empty folder, it returns where in it the program is."""


def find_server(progress: Progress, *, cache_dir: Path | None = None, download_url: str | None = None) -> Path | Image:
    """Return a lakeFS program of exactly the wanted version, else its Docker image.

    The arguments are those of `find_binary`. ServerUnavailable names every way that was tried.
    """
    try:
        return find_binary(progress, cache_dir=cache_dir, download_url=download_url)
    except ServerUnavailable as error:
        without, hint = error.message, error.hint
    try:
        image = find_image(LAKEFS_VERSION, progress)
    except ServerUnavailable as error:
        raise ServerUnavailable(f"{without}\nDocker: {error.message}", hint=hint) from error
    progress(f"lakeFS {LAKEFS_VERSION} will run from its Docker image {image.name}")
    return image


def find_binary(progress: Progress, *, cache_dir: Path | None = None, download_url: str | None = None) -> Path:
    """Return a lakeFS program of exactly the wanted version; when there is none, download or build it into the cache.

    `cache_dir` stands for the user's `~/.cache/dartifact`, `download_url` for the folder of the official release.
    ServerUnavailable names every way that was tried.
    """
    cached = (cache_dir or _user_cache()).absolute() / f"lakefs-{LAKEFS_VERSION}" / "lakefs"
    on_path = shutil.which("lakefs")
    path_problem = _find_problem(Path(on_path)) if on_path else "there is no `lakefs`"
    if on_path and not path_problem:
        return Path(on_path).absolute()
    cache_problem = _find_problem(cached)
    if not cache_problem:
        return cached

    def download(work: Path) -> Path:
        from dartifact.local.lakefs_archive import fetch_lakefs  # noqa: PLC0415  (an HTTP client, needed once per user)

        return fetch_lakefs(LAKEFS_VERSION, work, progress, base_url=download_url)

    def build(work: Path) -> Path:
        return build_lakefs(LAKEFS_VERSION, work, progress)

    tried = [f"PATH: {path_problem}", f"cache: {cache_problem}"]
    ways: tuple[tuple[str, Way], ...] = (("release archive", download), ("go build", build))
    try:
        if _get_once(cached, ways, tried, progress):
            return cached
    except OSError as error:
        tried.append(f"cache: {error.filename or cached.parent}: {error.strerror or error}")
    raise ServerUnavailable(
        "\n".join([f"no lakeFS {LAKEFS_VERSION} server was found, and none could be got", *tried]),
        hint=f"let it be downloaded (a mirror is set by DARTIFACT_LAKEFS_DOWNLOAD_URL), or install Go >= {GO_VERSION} "
        f"(https://go.dev/dl) or Docker, or put lakefs {LAKEFS_VERSION} on PATH, "
        "or name a running server in DARTIFACT_LAKE_URL",
    )


def _get_once(cached: Path, ways: Sequence[tuple[str, Way]], tried: list[str], progress: Progress) -> bool:
    """Get the program by the first way that works and publish it, unless another process does so first.

    What a way that fails says is added to `tried`; False when all have failed.
    """
    folder = cached.parent
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / "build.lock", progress, "waiting for another process that is getting lakeFS"):
        if not _find_problem(cached):
            return True
        for left_by_a_killed_process in folder.glob("build-*/"):
            shutil.rmtree(left_by_a_killed_process)
        for name, way in ways:
            # In the cache's own folder, so that the program gets its final name in one atomic step.
            with tempfile.TemporaryDirectory(dir=folder, prefix="build-", ignore_cleanup_errors=True) as work:
                try:
                    got = way(Path(work))
                    if problem := _find_problem(got):
                        raise ServerUnavailable(f"it was got, but cannot be used: {problem}")
                    got.replace(cached)
                except ServerUnavailable as error:
                    tried.append(f"{name}: {error.message}")
                    progress(f"lakeFS cannot be had by {name}: {error.message.splitlines()[0]}")
                    continue
            progress(f"lakeFS {LAKEFS_VERSION} is kept as {cached}")
            return True
    return False


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
