"""Wiring: builds the `Stack` once per process, and starts what of it runs on this machine."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.adapters.lakefs.lake import Lake
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.transform.dbt_build import DbtBuilder
from dartifact.commands.bond import hold_bond, require_bound
from dartifact.commands.stack import Policy, Stack
from dartifact.domain import marks
from dartifact.domain.errors import (
    ChecksErrored,
    DartifactError,
    LakeUnavailable,
    PolicyRefused,
    ServerUnavailable,
    UsageError,
)
from dartifact.domain.hints import Command
from dartifact.domain.marks import Reveal
from dartifact.domain.progress import Progress
from dartifact.domain.sources import Source, SourceAccess, list_personal
from dartifact.project import declared_sources
from dartifact.settings import Settings

StandIn = Callable[[str], AbstractContextManager[SourceAccess]]
"""Gives access to a dataset whose source has no URL."""

# Nothing listens there: what needs the lake says that it does not answer, what needs the ledger only works.
_NOWHERE = LakeAccess("http://127.0.0.1:9", "none", "none")


@contextmanager
def open_stack(
    settings: Settings, progress: Progress, *, lake: bool = True, sources: bool = True, place: str = "command line"
) -> Iterator[Stack]:
    """Build the stack; with `lake`, a local lakeFS is started or joined and the repository is set up.

    Without `lake` only what needs the ledger works; without `sources` only what reads no declaration. `place` is where
    people act from, for the record; in a flow run that is Prefect.
    """
    prepare_home(settings.home)
    flow_run = os.environ.get("PREFECT__FLOW_RUN_ID", "")
    with ExitStack() as owned:
        ledger = Ledger(settings.ledger, place=f"{'Prefect' if flow_run else place} on {socket.gethostname()}")
        owned.callback(ledger.close)
        access = owned.enter_context(open_access(settings, progress)) if lake else _NOWHERE
        dbt = DbtBuilder(settings.project / "dbt", settings.home / "dbt", timeout=settings.build_timeout_seconds)
        owned.callback(dbt.close)
        stack = Stack(
            lake=Lake(access, settings.repository),
            ledger=ledger,
            dbt=dbt,
            sources=declared_sources(settings.project) if sources else {},
            project=settings.project,
            home=settings.home,
            flow_run=flow_run,
            policy=Policy(
                candidate_size=settings.batch_size,
                attempts=settings.attempts,
                orphan_grace=timedelta(seconds=settings.orphan_grace_seconds),
                smoke_least_share=settings.smoke_least_share,
                skip_local_gate=frozenset(settings.skip_local_gate),
                candidate_retention=timedelta(days=settings.candidate_retention_days),
                weights=tuple(settings.weights),
                soak=timedelta(seconds=settings.soak_seconds),
                revert_culprits=settings.revert_culprits,
                approvals=settings.approvals,
            ),
        )
        if lake:
            try:
                stack.lake.prepare(settings.storage_namespace)
            except (LakeUnavailable, PolicyRefused) as error:
                raise type(error)(f"{access.url}: {error.message}", hint=error.hint) from error
            hold_bond(stack)
        else:
            require_bound(stack)
        yield stack


def choose_reveal(settings: Settings, sources: Mapping[str, Source] | None = None) -> Reveal:
    """Return what makes a sentence readable for a place of which nobody knows who reads it: a message, a log, Prefect.

    Values stay out of it once one source of the project has personal columns, or it cannot be known.
    """
    try:
        personal = list_personal((sources or declared_sources(settings.project)).values())
    except DartifactError:
        return marks.hide_values
    return marks.hide_values if personal else marks.show_values


@contextmanager
def telling(settings: Settings, stack: Stack, progress: Progress) -> Iterator[None]:
    """Tell, after the block, everybody whom the settings name what a gate has stopped; never fails the block."""
    from dartifact.adapters.notifier import Notifier  # noqa: PLC0415
    from dartifact.commands.upkeep.notify import told  # noqa: PLC0415

    find_reveal = functools.cache(lambda: choose_reveal(settings, stack.sources))

    def hide(line: str) -> str:  # only who tells somebody something waits for the flow files
        return find_reveal()(line)

    urls = [each.get_secret_value() for each in settings.notify_urls]
    with told(stack.ledger, Notifier(hide), urls, progress):
        yield


@contextmanager
def open_stack_surely(settings: Settings, progress: Progress) -> Iterator[Stack]:
    """Build the stack for a rollback: with the lake if it can be had, else with the ledger alone."""
    with ExitStack() as owned:
        try:
            stack = owned.enter_context(open_stack(settings, progress, sources=False))
        except (ServerUnavailable, ChecksErrored) as error:
            progress(f"going on without the lake: {error.message}")
            stack = owned.enter_context(open_stack(settings, progress, lake=False, sources=False))
        yield stack


def prepare_home(home: Path) -> None:
    """Create the home, or close one that others can look into; UsageError when it cannot be written."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(home.stat().st_mode) & 0o077:
            with contextlib.suppress(PermissionError):  # somebody else's, such as a mounted volume
                home.chmod(0o700)
    except OSError as error:
        raise UsageError(f"{home} cannot be written: {error.strerror}", hint="set DARTIFACT_HOME") from error


@contextmanager
def open_access(settings: Settings, progress: Progress) -> Iterator[LakeAccess]:
    """Yield the access to the lake that the settings name, else to one on this machine."""
    if settings.lake_url:
        secret = settings.lake_secret_access_key.get_secret_value()
        yield LakeAccess(settings.lake_url, settings.lake_access_key_id, secret, settings.lake_gateway_only)
        return
    from dartifact.local.lakefs_server import running_lakefs  # noqa: PLC0415  (only where a server is started)
    from dartifact.local.note import read_note  # noqa: PLC0415

    # Where the machines are up they alone start a server: one that a short command owns would end with it.
    up = read_note(settings.home)
    start = up is None or up.pid == os.getpid()
    url = settings.lakefs_download_url
    with running_lakefs(settings.home, progress, download_url=url, start=start) as endpoint:
        key, secret = endpoint.access_key_id, endpoint.secret_access_key
        yield LakeAccess(endpoint.url, key, secret, settings.lake_gateway_only)


@contextmanager
def open_source(settings: Settings, dataset: str, stand_in: StandIn | None = None) -> Iterator[SourceAccess]:
    """Yield how to reach a source: its setting, else what stands in for it; UsageError when there is neither."""
    if dataset not in settings.source_urls:
        if stand_in is None:
            raise no_url([dataset])
        with stand_in(dataset) as access:
            yield access
        return
    secret = settings.salesforce_client_secret.get_secret_value()
    url, ca_file = settings.source_urls[dataset], settings.salesforce_ca_file
    yield SourceAccess(url, settings.salesforce_client_id, secret, ca_file)


def no_url(datasets: Sequence[str]) -> UsageError:
    """Return the error of sources that nobody has said the place of."""
    example = json.dumps(dict.fromkeys(datasets, "https://..."))
    return UsageError(
        f"no URL is set for {', '.join(datasets)}",
        hint=(f"DARTIFACT_SOURCE_URLS='{example}', or `", Command("demo"), "` for a simulated company"),
    )
