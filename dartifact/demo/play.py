"""Shows the story in a terminal, or as one JSON document, while it is played."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape

from dartifact.commands.leases import hold_lease
from dartifact.demo import chapters
from dartifact.demo.history import History
from dartifact.demo.prefect_road import PrefectRoad
from dartifact.demo.road import DirectRoad
from dartifact.demo.server import simulated_sources
from dartifact.demo.stand_in import CompanyService, company_file
from dartifact.demo.story import INGESTORS, Story, first_state
from dartifact.local.services import Stopped
from dartifact.project import load_source
from dartifact.settings import Settings
from dartifact.up.run import EventTail, machines_up, tell_parts
from dartifact.wiring import open_stack

T = TypeVar("T")


class TerminalNarrator:
    """Tells the story with a spinner for what runs and a line for what happened."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self._console.print()
        self._console.rule(f"[bold]{escape(title)}", align="left")

    def say(self, line: str) -> None:
        """Say what happened."""
        self._console.print(escape(line), highlight=False, soft_wrap=True)

    def step(self, name: str, step: Callable[[], T], /) -> T:
        """Run a step under a spinner that names it."""
        with self._console.status(escape(name)):
            return step()

    def pass_by(self, line: str) -> None:
        """Say what goes on without being part of the story."""
        self._console.print(escape(line), style="dim", highlight=False)

    def expect(self, what: str, *, holds: bool) -> None:
        """Show something that must hold."""
        mark = "[green]✓ holds[/green]" if holds else "[bold red]✗ DOES NOT HOLD[/bold red]"
        self._console.print(f"  {mark}  {escape(what)}", highlight=False, soft_wrap=True)


def play_once(settings: Settings, orders_per_tick: int, *, as_json: bool) -> Story:
    """Play the story once in the home of the settings; Locked while another demo plays there."""
    console = Console(stderr=as_json)
    narrator = TerminalNarrator(console)
    with ExitStack() as owned:
        console.print("[bold]dartifact[/bold]: the story, on a real lakeFS server, with real Soda checks and real dbt")
        progress = lambda line: console.print(f"[dim]{escape(line)}[/dim]", highlight=False)  # noqa: E731
        stack = owned.enter_context(open_stack(settings, progress))
        owned.enter_context(hold_lease(stack.ledger, "demo"))
        state_file = company_file(settings.home)
        initial = None if state_file.exists() else first_state(orders_per_tick)
        company = owned.enter_context(simulated_sources(state_file, initial=initial))
        modules = {name: load_source(name, settings.project) for name, _ in INGESTORS}
        story = Story(stack, company, narrator, DirectRoad(stack, company, modules, narrator.step))
        chapters.play(story)
    if as_json:
        print(json.dumps(describe(story), indent=2))
        sys.stdout.flush()
    else:
        _end(console, story)
    return story


def play_on(settings: Settings, orders_per_tick: int) -> Story | None:
    """Bring the machines up, play the story through Prefect, then keep ingesting until told to stop.

    Returns None when that came before the end of the story.
    """
    console = Console()
    narrator = TerminalNarrator(console)
    progress = lambda line: console.print(escape(line), style="dim", highlight=False, soft_wrap=True)  # noqa: E731
    console.print("[bold]dartifact[/bold]: the story, through Prefect's deployments, a worker and a real lakeFS server")
    played: list[Story] = []
    service = CompanyService(settings.home.resolve(), first_state(orders_per_tick))
    try:
        with (
            machines_up(settings, progress, service, advances=False) as machines,
            open_stack(settings, progress) as stack,
        ):
            console.print(tell_parts(machines.launcher.announce("ready")), highlight=False)
            tail = EventTail(stack.ledger)
            road = PrefectRoad(stack, machines.api, narrator.step, machines.launcher.stopping)
            story = Story(stack, service.company, narrator, road)
            modules = {name: load_source(name, settings.project) for name, _ in INGESTORS}
            history = History(stack, service.company, modules, INGESTORS, narrator.pass_by)

            def play() -> None:
                history.play()
                chapters.play(story)

            playing = InThread(play)

            def follow() -> None:
                if played:
                    tail.tell(progress)
                elif not playing.is_under_way:
                    if playing.error is not None:
                        machines.launcher.stopping.set()
                        return
                    machines.schedule(on=True)
                    played.append(story)
                    _end(console, story)
                    every = settings.ingest_seconds
                    console.print(f"\nEach ingestor runs every {every} s from now on; Ctrl-C ends it.\n")
                    tail.skip()

            machines.run(follow)
            playing.wait()
        if playing.error is not None:
            raise playing.error
    except Stopped:
        pass
    return played[0] if played else None


class InThread:
    """A call under way in a thread of its own; `error` is what it has raised."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.error: BaseException | None = None

        def run() -> None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001  (whoever waits decides what it means)
                self.error = error

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    @property
    def is_under_way(self) -> bool:
        """Say whether it has not ended."""
        return self._thread.is_alive()

    def wait(self) -> None:
        """Wait for the end, whatever it is."""
        self._thread.join()


def describe(story: Story) -> dict[str, Any]:
    """Return the story as plain JSON values."""
    return {
        "ok": story.ok,
        "chapters": [
            {
                "name": chapter.name,
                "ok": chapter.ok,
                "seconds": chapter.seconds,
                "expectations": [{"what": what, "holds": holds} for what, holds in chapter.expectations],
            }
            for chapter in story.chapters
        ],
        "figures": story.figures,
        "runs": story.names,
    }


def _end(console: Console, story: Story) -> None:
    figures = story.figures
    lake = figures.get("lake_branch_to_merged")
    console.print()
    console.rule("[bold]What happened", align="left")
    for chapter in story.chapters:
        mark = "[green]✓[/green]" if chapter.ok else "[bold red]✗[/bold red]"
        console.print(f"  {mark} {chapter.name}  [dim]{chapter.seconds:.1f} s[/dim]", highlight=False)
    if story.ok:
        stations = ", ".join(f"{name} {figures[name]:.1f} s" for name in ("check", "integrate", "stage", "promote"))
        console.print(
            f"\n  One batch of {story.company.state.orders_per_tick:,} orders, from the end of extract to production: "
            f"{figures['extract_to_production']:.1f} s ({stations})"
            + (f"\n  The lake's share of it, from branch to merged: {lake * 1000:.0f} ms" if lake else "")
            + f"\n  Rollback, until readers are sent to the old commit: {figures['rollback'] * 1000:.0f} ms",
            highlight=False,
        )
    console.print()
    console.rule("[bold]Try next", align="left")
    failed = story.names.get("failed_run", "RUN")
    for command, why in (
        ("dartifact status", "where everything stands"),
        ("dartifact runs", "every run with its phase and branch"),
        (f"dartifact show {failed}", "why the bad chunk was stopped, with failing rows"),
        ("dartifact ingest orders", "bring the next five minutes"),
        ("dartifact rollback --preview", "what the rollback button would do now"),
    ):
        console.print(f"  uv run {command:<47} [dim]{why}[/dim]", highlight=False, soft_wrap=True)
