"""The process dbt runs in: one dbtRunner, requests as JSON lines on stdin, answers as JSON lines on stdout.

Started by `dartifact.adapters.transform.dbt_build` as `python -m dbt_worker PROJECT_DIR WORK_DIR` in a folder of its
own. A request is `{"do": "warm"}`, without an answer, or `{"do": "build", "id", "build_dir"}`, answered by
`{"id", "begun": true}` and then `{"id", "nodes": [...]}` (what dbt found, a project that does not parse included) or
`{"id", "error"}` (dbt could not run).
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import queue
import re
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from uuid import uuid4

_PARSED = "partial_parse.msgpack"
_KEPT_PARSES = 4
_GENERATED = ("target", "logs")  # what dbt writes into a project when people run it there by hand
_STATUSES = {"success": "passed", "pass": "passed", "no-op": "passed", "warn": "warned", "fail": "failed"}
_TESTS = ("test", "unit_test")
# DuckDB's words for faults of the machine or the lake: neither the model nor the data is to blame.
_MACHINE_FAULT = re.compile(
    r"^\s*(IO|HTTP|Connection|Out of Memory|Permission|Interrupt|Fatal|Internal) Error:", re.MULTILINE | re.IGNORECASE
)


class ParseCache:
    """What dbt parsed, one file per content of the project, each behind its own sha256.

    Keyed by content because dbt's incremental parsing has a history of keeping stale nodes: only the parse of the very
    same project is used again. Losing a file costs a second, never an answer.
    """

    def __init__(self, project_dir: Path, folder: Path) -> None:
        self._project_dir, self._folder = project_dir, folder
        self._digest = ""

    def fetch(self, target: Path) -> None:
        """Put the parse of the project as it is now into a target folder, if there is an intact one."""
        target.mkdir(parents=True, exist_ok=True)
        self._digest = self._digest_project()
        try:
            content = self._path().read_bytes()
        except OSError:
            return
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            (target / _PARSED).write_bytes(content[32:])
        else:
            self.drop()

    def keep(self, target: Path) -> None:
        """Take the parse out of a target folder, unless the project changed since `fetch`."""
        parsed = target / _PARSED
        if self._path().exists() or not parsed.exists() or self._digest_project() != self._digest:
            return
        content = parsed.read_bytes()
        temporary = self._folder / f"{uuid4().hex}.tmp"
        with suppress(OSError):
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
            os.replace(temporary, self._path())
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        with suppress(OSError):
            kept = sorted(self._folder.glob("parse-*.bin"), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in kept[_KEPT_PARSES:]:
                old.unlink(missing_ok=True)

    def drop(self) -> None:
        """Forget the parse of the project as it was at `fetch`."""
        with suppress(OSError):
            self._path().unlink(missing_ok=True)

    def _path(self) -> Path:
        return self._folder / f"parse-{self._digest}.bin"

    def _digest_project(self) -> str:
        # The place belongs to it: dbt keeps it in what it parsed and would read a copied project's seeds from there.
        digest = hashlib.sha256(str(self._project_dir).encode())
        for path in sorted(self._project_dir.rglob("*")):
            name = path.relative_to(self._project_dir)
            if name.parts[0] not in _GENERATED and path.is_file():
                digest.update(f"{name.as_posix()}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()[:32]


class Dbt:
    """One dbtRunner on one project; not thread-safe, like dbt itself."""

    def __init__(self, project_dir: Path, work_dir: Path) -> None:
        import dbt.jsonschemas.jsonschemas as schemas  # noqa: PLC0415 - two seconds, after the protocol is up
        from dbt.cli.main import dbtRunner  # noqa: PLC0415

        # dbt knows its YAML's keys but looks at them for a few adapters only: `data_testss:` would lose tests silently.
        schemas._JSONSCHEMA_SUPPORTED_ADAPTERS.add("duckdb")
        self._runner = dbtRunner()
        self._project_dir, self._home = project_dir, Path.cwd()
        self._cache = ParseCache(project_dir, work_dir)

    def warm(self) -> None:
        """Parse the project, so that the first build finds it parsed. Faults are left to that build."""
        with tempfile.TemporaryDirectory(dir=self._home) as folder:
            self._invoke("parse", Path(folder))

    def build(self, build_dir: Path) -> dict[str, Any]:
        """Run `dbt build` on the build.duckdb of a folder and return the answer without its id."""
        found = self._invoke("build", build_dir)
        nodes = list(describe_nodes(found.result)) if found.result is not None else []
        if found.exception is not None:
            if not is_project_fault(found.exception):
                return {"error": one_line(f"{type(found.exception).__name__}: {found.exception}")}
            nodes.append(describe_project("parse", str(found.exception)))
        elif not found.success and all(node["outcome"] in ("passed", "warned") for node in nodes):
            nodes.append(describe_project("end", "dbt failed and gave no reason"))
        return {"nodes": nodes}

    def _invoke(self, command: str, folder: Path) -> Any:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # noqa: PLC0415

        target = folder / "target"
        places = {"project-dir": self._project_dir, "profiles-dir": self._project_dir}
        places |= {"target-path": target, "log-path": folder / "logs"}
        arguments = [part for name, path in places.items() for part in (f"--{name}", str(path))]
        quiet = ["--quiet", "--no-print", "--no-use-colors", "--no-write-json", "--no-send-anonymous-usage-stats"]
        self._cache.fetch(target)
        os.chdir(folder)
        try:
            found = self._runner.invoke([command, *arguments, *quiet])
        finally:
            # A handle lost in an error would keep this file open, and the next build would write into it.
            if DuckDBConnectionManager._ENV is not None:
                DuckDBConnectionManager._ENV.close()
                DuckDBConnectionManager._ENV = None
            os.chdir(self._home)
        if found.exception is None:
            self._cache.keep(target)
        elif is_project_fault(found.exception):
            self._cache.drop()
        return found


def is_project_fault(error: BaseException) -> bool:
    """Tell a project that dbt cannot read from a dbt that cannot run."""
    from dbt.exceptions import DependencyError, ParsingError  # noqa: PLC0415
    from dbt_common.exceptions import CompilationError, DbtConfigError, DbtValidationError  # noqa: PLC0415

    named = (CompilationError, ParsingError, DbtConfigError, DbtValidationError, DependencyError)
    return isinstance(error, named) or str(error).startswith("Found a cycle")


def describe_nodes(results: Any) -> Iterator[dict[str, Any]]:
    """Describe dbt's run results by name, kind, outcome, message, failures, SQL, seconds, dataset and column."""
    names = Counter((str(result.node.resource_type), result.node.name) for result in results)
    for result in results:
        node, kind = result.node, str(result.node.resource_type)
        # dbt lets two tests share a name; the unique id tells them apart.
        shared = names[kind, node.name] > 1
        yield {
            "name": ".".join(node.unique_id.split(".")[2:]) if shared else node.name,
            "kind": kind,
            "outcome": name_outcome(kind, str(result.status), result.message or ""),
            "message": one_line(result.message or ""),
            "failures": result.failures or 0,
            "compiled_sql": getattr(node, "compiled_code", None),
            "seconds": result.execution_time,
            "dataset": name_dataset(node, kind),
            "column": getattr(node, "column_name", None),
        }


def describe_project(name: str, message: str) -> dict[str, Any]:
    """Describe a fault of the project as a whole like a failed node."""
    found = {"name": name, "kind": "project", "outcome": "failed", "message": one_line(message), "failures": 0}
    return {**found, "compiled_sql": None, "seconds": 0.0, "dataset": "", "column": None}


def name_outcome(kind: str, status: str, message: str) -> str:
    """Translate dbt's status: a model that errors failed, a test that errors could not ask."""
    if status in _STATUSES or status == "skipped":
        return _STATUSES.get(status, status)
    return "errored" if kind in _TESTS or _MACHINE_FAULT.search(message) else "failed"


def name_dataset(node: Any, kind: str) -> str:
    """Return the relation a node is about: itself, or what a test reads."""
    if kind not in _TESTS:
        return str(node.name)
    parents = [getattr(node, "attached_node", None), *node.depends_on.nodes]
    return next((str(parent).split(".", 2)[-1] for parent in parents if parent), "")


def one_line(text: str, length: int = 600) -> str:
    """Fold dbt's message into one line, without the chain of macros that led there."""
    line = " ".join(text.split(" > in macro", maxsplit=1)[0].split())
    return line if len(line) <= length else line[: length - 1] + "…"


def die_with_parent() -> None:
    """Let Linux end this process with the thread that started it; the end of stdin does the same everywhere."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)


def claim_protocol() -> tuple[BinaryIO, TextIO]:
    """Take stdin and stdout for the protocol: what dbt or a plugin prints goes to stderr, what it reads is empty."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, answers


def main(project_dir: Path, work_dir: Path) -> None:
    """Answer requests until stdin ends; its end ends a running build, too, for nobody waits for it."""
    die_with_parent()
    requests, answers = claim_protocol()
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in requests:
            waiting.put(json.loads(line))
        os._exit(0)

    def answer(request: dict[str, Any], **content: Any) -> None:
        answers.write(json.dumps({"id": request["id"], **content}) + "\n")
        answers.flush()

    threading.Thread(target=read, daemon=True).start()
    dbt = Dbt(project_dir, work_dir)
    while True:
        request = waiting.get()
        if request["do"] == "warm":
            dbt.warm()
            continue
        answer(request, begun=True)
        answer(request, **dbt.build(Path(request["build_dir"])))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
