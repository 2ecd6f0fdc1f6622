"""Doctor: look at everything the product needs, and say what to do about what is wrong. Nothing is changed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.commands.upkeep import doctor_stores as stores
from dartifact.commands.upkeep.findings import Finding, Unwell
from dartifact.commands.upkeep.validate import CheckFile, look_at, look_at_sources
from dartifact.domain.errors import DartifactError, UsageError
from dartifact.domain.hints import Command, Hint
from dartifact.domain.sources import Source

__all__ = ["Configuration", "Finding", "Orchestrator", "examine"]

_LEAST_DISK = 1 << 30
_PACKAGES = ("prefect", "lakefs-sdk", "soda-core", "dbt-core", "dbt-duckdb", "duckdb", "pandas", "pyarrow")
_AUTOMATIONS = 2


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the settings say of a place.

    `has_stand_in`: a source without a URL is the simulated company, because a demo has played in the home.
    """

    project: Path
    home: Path
    ledger_url: str
    repository: str
    lake_url: str | None = None
    storage_namespace: str | None = None
    source_urls: Mapping[str, str] = field(default_factory=dict)
    has_stand_in: bool = False
    image: str = ""


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """Where flow runs are started: a Prefect API, and the type of its work pool (None while it has none of ours).

    `fault` says why it could not be asked, `workers` how many of the pool are online, `automations` how many of ours
    it has.
    """

    api_url: str
    pool_type: str | None
    fault: str = ""
    workers: int = 1
    automations: int = _AUTOMATIONS


def examine(
    place: Configuration,
    *,
    open_access: Callable[[], AbstractContextManager[LakeAccess] | None],
    load_sources: Callable[[], Mapping[str, Source | UsageError]],
    find_orchestrator: Callable[[], Orchestrator | None] = lambda: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[Finding, ...]:
    """Look at all that the product needs, from Python and packages to the lake; nothing is changed.

    `open_access` returns None where this machine has no lake yet.
    """
    findings = [
        _ask("packages", _packages, "uv sync"),
        _ask("disk", lambda: _disk(place.home), "free disk space, or set DARTIFACT_HOME"),
    ]
    for path in sorted((place.project / "checks").rglob("*.yml")):
        is_drift = path.name.endswith(".drift.yml")
        name = f"{'drift' if is_drift else 'contract'} {path.relative_to(place.project)}"
        findings += _tell(name, look_at(path, name))
    findings.append(_ask("sources", lambda: _sources(load_sources(), place), "set DARTIFACT_PROJECT"))
    findings.append(_ask("orchestrator", lambda: _orchestrator(find_orchestrator(), place), "see PREFECT_API_URL"))
    with stores.opened_ledger(place.ledger_url) as look:
        findings.append(_ask("ledger", look.describe, "set DARTIFACT_LEDGER_URL"))
        if look.ledger is not None:
            ledger = look.ledger
            findings.append(_ask("events", lambda: stores.look_at_events(ledger), "dartifact verify"))
            findings.append(_ask("code", lambda: stores.look_at_code(ledger, place.project), "dartifact stage"))
            findings.append(_ask("runs", lambda: stores.look_at_runs(ledger, clock()), "dartifact status"))

        def lake() -> str:
            access = open_access()
            if access is None:
                return "none on this machine yet; the first command that needs one sets it up"
            with access as where:
                return stores.look_at_lake(where, place.repository, place.storage_namespace, look)

        findings.append(_ask("lake", lake, "set DARTIFACT_LAKE_URL"))
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


def _packages() -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    return f"Python {sys.version_info.major}.{sys.version_info.minor}, {versions}"


def _disk(home: Path) -> str:
    folder = next(each for each in (home, *home.resolve().parents) if each.exists())
    free = shutil.disk_usage(folder).free
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise Unwell(f"{home} cannot be written")
    if free < _LEAST_DISK:
        raise Unwell(f"{free / 1e9:.1f} GB are free at {home}")
    return f"{free / 1e9:.0f} GB are free at {home}"


def _sources(sources: Mapping[str, Source | UsageError], place: Configuration) -> str:
    if not sources:
        raise Unwell(f"no contract of a source is in {place.project / 'checks'}")
    bad = [look for look in look_at_sources(place.project, sources) if not look.ok]
    if bad:
        raise Unwell("; ".join(look.found for look in bad), hint=bad[0].hint)
    without = [name for name in sources if name not in place.source_urls]
    if without and not place.has_stand_in:
        raise Unwell(f"no URL is set for {', '.join(without)}", hint="set DARTIFACT_SOURCE_URLS")
    if without and place.lake_url:
        raise Unwell(
            f"{', '.join(without)} would be asked of the simulated company, for the lake {place.lake_url}",
            hint="set DARTIFACT_SOURCE_URLS",
        )
    return ", ".join(f"{name} at {_name_place(place.source_urls.get(name))}" for name in sources)


def _name_place(url: str | None) -> str:
    """Name the server of a URL without what is secret in it."""
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.hostname}" if url else "the simulated company"


def _orchestrator(found: Orchestrator | None, place: Configuration) -> str:
    if found is None:
        return "no Prefect API is set; `dartifact up` brings one"
    if found.fault:
        raise Unwell(found.fault)
    is_elsewhere = not _is_loopback(found.api_url) or found.pool_type not in (None, "process")
    told = f"Prefect at {found.api_url}, work pool of type {found.pool_type or 'none yet'}"
    if is_elsewhere and (place.lake_url is None or _is_loopback(place.lake_url)):
        raise Unwell(f"{told}: its flow runs cannot reach a lake of this machine", hint="set DARTIFACT_LAKE_URL")
    if is_elsewhere and place.ledger_url.startswith("sqlite"):
        raise Unwell(f"{told}: its flow runs cannot share a SQLite ledger", hint="set DARTIFACT_LEDGER_URL")
    if is_elsewhere and _is_loopback(place.ledger_url):
        raise Unwell(f"{told}: its flow runs cannot reach a ledger of this machine", hint="set DARTIFACT_LEDGER_URL")
    if found.pool_type is None:
        return told
    if found.pool_type != "process" and not place.image:
        raise Unwell(f"{told}: its flow runs need an image", hint="set DARTIFACT_IMAGE, and deploy again")
    if not found.workers and not found.pool_type.endswith(":push"):
        raise Unwell(f"{told}: no worker is online", hint="prefect worker start --pool dartifact")
    if found.automations < _AUTOMATIONS:
        raise Unwell(
            f"{told}: nothing there ends flow runs that have lost their process",
            hint="create the automations: see the documentation, Run it for real",
        )
    return f"{told}, {found.workers} workers online"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
