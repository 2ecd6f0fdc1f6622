"""Write a project of a user's own: from nothing, or as the reference project is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from dartifact.domain.errors import UsageError
from dartifact.reference import find_reference

_KEPT = ("README.md", ".gitignore")
_EXAMPLE = ("flows", "checks", "dbt")
_BARE = (
    "dbt/dbt_project.yml",
    "dbt/profiles.yml",
    "dbt/macros/generate_schema_name.sql",
    "checks/drift.schema.json",
)
_EMPTY = ("flows", "checks/marts", "checks/integration", "checks/probes", "dbt/models/staging", "dbt/models/marts")
_UNWANTED = {"__pycache__", "target", "logs", ".user.yml"}  # what Python and dbt leave there

_PYPROJECT = """\
[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.11,<3.14"
dependencies = ["dartifact>={version}"]

[dependency-groups]
dev = ["pytest"]

# The settings of dartifact; each is also a variable DARTIFACT_<NAME>.
[tool.dartifact]
repository = "{repository}"

[tool.pytest.ini_options]
testpaths = ["tests"]
"""
_GITIGNORE = """\
.dartifact/
.venv/
__pycache__/
*.pyc
dbt/target/
dbt/logs/
dbt/.user.yml
.streamlit/secrets.toml
"""
_TEST = """\
from dartifact.testing import check_project


def test_project() -> None:
    check_project()
"""
_README = """\
# {name}

Data delivered with [dartifact](https://pypi.org/project/dartifact/): every ingestion run on a branch of its own, tested
before it is merged, built with dbt, promoted blue/green, rolled back in under a second.

{first}

```sh
dartifact checks validate         # are the contracts valid?
pytest                            # can everything be loaded, and the models be built?
dartifact up                      # lakeFS, Prefect, the schedules and the browser UI on this machine
```

| folder | what it holds |
|---|---|
| `flows/` | one file per source: what it is, and how its rows are read |
| `checks/` | one contract per source, on marts in `marts/`; SQL checks in `integration/` and `probes/` |
| `dbt/` | the models that make marts of the sources |
| `prefect.yaml` | what runs, and when: one deployment for each ingestor |
| `tests/` | the project's own test |
"""
_FIRST_BARE = """\
Add a source: `flows/<source>.py` with `SOURCE` and `extract`, its contract `checks/<source>.yml`, a model that reads
`{{ source('raw', '<source>') }}` in `dbt/models/`, and a deployment for each of its ingestors in `prefect.yaml`. Then
say where it answers, `export DARTIFACT_SOURCE_URLS='{"<source>": "https://..."}'`, and run
`dartifact ingest <source>`."""
_FIRST_EXAMPLE = """\
The example ingests orders and customers of a simulated company: `dartifact demo --once` plays the story."""


def write_project(folder: Path, *, example: bool, ui: bool) -> tuple[str, ...]:
    """Write a project into a folder that is new or has none of its files; return what was written, sorted.

    `example` writes orders and customers of the reference project, `ui` its browser UI to be changed. A README.md and a
    .gitignore that are there stay as they are. UsageError when another file is in the way; nothing is written then.
    """
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "data"
    planned = {
        path: content
        for path, content in _plan(name, example=example, ui=ui)
        if path not in _KEPT or not (folder / path).exists()
    }
    if in_the_way := sorted(path for path in planned if (folder / path).exists()):
        shown = ", ".join(in_the_way[:3]) + (" ..." if len(in_the_way) > 3 else "")
        raise UsageError(f"{folder} has {shown} already: nothing is written", hint="name a new folder")
    try:
        for path, content in planned.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return tuple(sorted(planned))


def _plan(name: str, *, example: bool, ui: bool) -> Iterator[tuple[str, bytes]]:
    reference = find_reference()
    folders = (_EXAMPLE if example else ()) + (("ui",) if ui else ())
    for file in (file for top in folders for file in _list_files(reference / top)):
        yield str(file.relative_to(reference)), file.read_bytes()
    if not example:
        for path in _BARE:
            text = (reference / path).read_text(encoding="utf-8")
            # Its folders of models are configured before there is a model in them.
            yield path, text.replace("      - UnusedResourceConfigPath\n", "").encode()
        for path in _EMPTY:
            yield f"{path}/.gitkeep", b""
    deployments = (reference / "prefect.yaml").read_text(encoding="utf-8")
    yield "prefect.yaml", (deployments if example else _leave_ingests_out(deployments)).encode()
    version = metadata.version("dartifact")
    repository = name if len(name) > 2 else f"{name}-data"
    yield "pyproject.toml", _PYPROJECT.format(name=name, version=version, repository=repository[:63]).encode()
    yield ".gitignore", _GITIGNORE.encode()
    yield "tests/test_project.py", _TEST.encode()
    first = _FIRST_EXAMPLE if example else _FIRST_BARE
    yield "README.md", _README.format(name=name, first=first).encode()


def _list_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and _UNWANTED.isdisjoint(path.relative_to(folder).parts):
            yield path


def _leave_ingests_out(deployments: str) -> str:
    """Return prefect.yaml with its stations only, and a sample of what an ingestor's deployment looks like."""
    head, mark, rest = deployments.partition("deployments:\n")
    kept: list[str] = []
    ingests: list[str] = []
    for block in rest.split("\n\n"):
        (ingests if "tags: [ingest]" in block else kept).append(block)
    sample = re.sub(r"(?m)^", "# ", ingests[0].strip("\n"))
    return f"{head}{mark}# One for each ingestor of a source, e.g.\n#\n{sample}\n\n" + "\n\n".join(kept)
