"""Doctor: look at everything the product needs, and say what to do about what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION, STAGING, Lake
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.upkeep.validate import CheckFile, look_at, look_at_sources
from dartifact.domain.errors import DartifactError, UsageError
from dartifact.domain.hints import Command, Hint
from dartifact.domain.sources import Source

_LEAST_DISK = 1 << 30
_PACKAGES = ("prefect", "lakefs-sdk", "soda-core", "dbt-core", "dbt-duckdb", "duckdb", "pandas", "pyarrow")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what, whether it is well, what was found, what to do if not."""

    what: str
    ok: bool
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """Where flow runs are started: a Prefect API, and the type of its work pool (None while it has none of ours)."""

    api_url: str
    pool_type: str | None


def examine(
    *,
    project: Path,
    home: Path,
    ledger_url: str,
    repository: str,
    open_access: Callable[[], AbstractContextManager[LakeAccess]],
    load_sources: Callable[[], Mapping[str, Source | UsageError]],
    lake_url: str | None = None,
    find_orchestrator: Callable[[], Orchestrator | None] = lambda: None,
) -> tuple[Finding, ...]:
    """Look at Python and packages, disk, contracts, sources, ledger, orchestrator and lake; nothing is changed."""
    findings = [
        _ask("packages", _packages, "uv sync"),
        _ask("disk", lambda: _disk(home), "free disk space, or set DARTIFACT_HOME"),
    ]
    for path in sorted((project / "checks").rglob("*.yml")):
        is_drift = path.name.endswith(".drift.yml")
        name = f"{'drift' if is_drift else 'contract'} {path.relative_to(project)}"
        findings += _tell(name, look_at(path, name))
    findings.append(_ask("sources", lambda: _sources(load_sources(), project), "set DARTIFACT_PROJECT"))
    findings.append(_ask("ledger", lambda: _ledger(ledger_url), "set DARTIFACT_LEDGER_URL"))

    def orchestrator() -> str:
        return _orchestrator(find_orchestrator(), lake_url, ledger_url)

    findings.append(_ask("orchestrator", orchestrator, "see PREFECT_API_URL"))

    def lake() -> str:
        with open_access() as access:
            return _lake(Lake(access, repository))

    findings.append(_ask("lake", lake, "see DARTIFACT_LAKE_URL in README.md"))
    return tuple(findings)


def _ask(what: str, look: Callable[[], str], advice: str) -> Finding:
    try:
        return Finding(what, True, look())
    except DartifactError as error:
        # Who has come here from another verb's hint must not be sent in a circle.
        hint = "" if error.hint == Hint.of(Command("doctor")) else str(error.hint)
        return Finding(what, False, error.message, hint or advice)


def _tell(what: str, looks: Iterable[CheckFile]) -> list[Finding]:
    return [Finding(what, look.ok, look.found, "" if look.ok else look.hint or "fix the file") for look in looks]


class _Unwell(DartifactError):
    """Something is missing or too small."""


def _packages() -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    return f"Python {sys.version_info.major}.{sys.version_info.minor}, {versions}"


def _disk(home: Path) -> str:
    free = shutil.disk_usage(home).free
    if not os.access(home, os.W_OK):
        raise _Unwell(f"{home} cannot be written")
    if free < _LEAST_DISK:
        raise _Unwell(f"{free / 1e9:.1f} GB are free at {home}")
    return f"{free / 1e9:.0f} GB are free at {home}"


def _sources(sources: Mapping[str, Source | UsageError], project: Path) -> str:
    if not sources:
        raise _Unwell(f"no contract of a source is in {project / 'checks'}")
    bad = [look for look in look_at_sources(project, sources) if not look.ok]
    if bad:
        raise _Unwell("; ".join(look.found for look in bad), hint=bad[0].hint)
    return ", ".join(sources)


def _ledger(url: str) -> str:
    ledger = Ledger(url)
    try:
        pointer, intents = ledger.pointer(), ledger.open_intents()
    finally:
        ledger.close()
    if pointer.frozen:
        raise _Unwell(f"promotions are frozen: {pointer.frozen}", hint=Command("unfreeze", "--reason WHY"))
    if intents:
        oldest = f"{intents[0].kind} {intents[0].operation}"
        raise _Unwell(
            f"{len(intents)} operations were left open, the oldest is {oldest}",
            hint=(Command("integrate"), ", which finishes or drops them"),
        )
    return f"{ledger.url.split(':')[0]}, generation {pointer.generation}"


def _orchestrator(found: Orchestrator | None, lake_url: str | None, ledger_url: str) -> str:
    if found is None:
        return "no Prefect API is set; `dartifact up` brings one"
    is_elsewhere = not _is_loopback(found.api_url) or found.pool_type not in (None, "process")
    told = f"Prefect at {found.api_url}, work pool of type {found.pool_type or 'none yet'}"
    if is_elsewhere and (lake_url is None or _is_loopback(lake_url)):
        raise _Unwell(f"{told}: its flow runs cannot reach a lake of this machine", hint="set DARTIFACT_LAKE_URL")
    if is_elsewhere and ledger_url.startswith("sqlite"):
        raise _Unwell(f"{told}: its flow runs cannot share a SQLite ledger", hint="set DARTIFACT_LEDGER_URL")
    return told


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _lake(lake: Lake) -> str:
    lake.prepare()
    for branch in (MAIN, STAGING, PRODUCTION):
        if not lake.is_protected(branch):
            raise _Unwell(f"branch {branch} is not protected", hint=(Command("status"), ", which sets the rules again"))
    where = "this machine" if lake.access.url.startswith("http://127.0.0.1") else lake.access.url
    return f"repository {lake.repository} on {where}; main, env-staging and production are protected"
