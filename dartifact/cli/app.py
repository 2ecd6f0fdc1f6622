"""The command line: verbs over `dartifact.commands`. Documents go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.exceptions import TyperException

from dartifact.cli import checks as cli_checks
from dartifact.cli import decisions as cli_decisions
from dartifact.cli import diff as cli_diff
from dartifact.cli import project as cli_project
from dartifact.cli import runs as cli_runs
from dartifact.cli import windows as cli_windows
from dartifact.cli.frame import EXIT_CODES, Output, OutputOption, answer, end_by_phase, exit_code, opened, say
from dartifact.cli.simulated import find_service, find_stand_in
from dartifact.domain import errors

__all__ = ["EXIT_CODES", "app", "exit_code", "main"]

app = typer.Typer(
    help="Deliver data the way good teams deliver software: branches, gates, staging, blue/green, instant rollback.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

_INTERRUPTED = 130


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415

        print(f"dartifact {version('dartifact')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="print the version and end")
    ] = False,
    project: Annotated[
        Path | None, typer.Option("--project", help="folder of the project; default the nearest one upward")
    ] = None,
) -> None:
    """Deliver data the way good teams deliver software: branches, gates, staging, blue/green, instant rollback."""
    if project is not None:
        from dartifact.settings import use_project  # noqa: PLC0415

        use_project(project)


def main() -> None:
    """Run the command line; a fault is one line that names the thing and the next command."""
    try:
        code = app(standalone_mode=False)
    except errors.DartifactError as error:
        _tell_fault(error)
        sys.exit(exit_code(error))
    except TyperException as error:
        # typer's own exit code for usage is 2, which here means "there are differences".
        cast("Any", error).show()
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    if code == _INTERRUPTED:  # typer returns it for Ctrl-C, too
        print("interrupted; nothing is lost, run the same command again", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _tell_fault(error: errors.DartifactError) -> None:
    print(f"dartifact: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"      try: {error.hint}", file=sys.stderr)


for verbs in (cli_project, cli_windows, cli_runs, cli_decisions, cli_checks):
    verbs.add_verbs(app)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="play the story once, without Prefect, and end")] = False,
    orders: Annotated[
        int | None, typer.Option(help="orders in five minutes; default 120, with --once 10,000", min=10)
    ] = None,
    every: Annotated[int, typer.Option(help="without --once: seconds between ingests after the story")] = 10,
    output: OutputOption = Output.TEXT,
) -> None:
    """Play the story of the product on a real lake: a good day, a bad chunk, it breaks anyway; then keep going."""
    from dartifact.demo.play import play_on, play_once  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415

    if not once:
        if output is Output.JSON:
            raise errors.UsageError("a demo that goes on has no one document", hint="dartifact demo --once -o json")
        going = play_on(read_settings(ingest_seconds=every), orders or 120)
        if going is not None and not going.ok:
            raise typer.Exit(3)
        return
    story = play_once(read_settings(), orders or 10_000, as_json=output is Output.JSON)
    if not story.ok:
        raise typer.Exit(3)


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", help="return once everything is up")] = False,
    every: Annotated[int | None, typer.Option(help="seconds between ingests; default 300")] = None,
) -> None:
    """Run everything on this machine: lakeFS, Prefect, a worker, the sources' schedules, the browser UI."""
    from dartifact.settings import read_settings  # noqa: PLC0415
    from dartifact.up import run as machines  # noqa: PLC0415

    settings = read_settings(**({"ingest_seconds": every} if every is not None else {}))
    if detach:
        machines.run_detached(settings, say)
    else:
        machines.run_up(settings, say, find_service(settings.home.resolve()))


@app.command()
def down() -> None:
    """Stop what `dartifact up` runs."""
    from dartifact.settings import read_settings  # noqa: PLC0415
    from dartifact.up import run as machines  # noqa: PLC0415

    machines.run_down(read_settings(), say)


@app.command()
def ingest(
    source: Annotated[str, typer.Argument(help="a source, e.g. orders")],
    ingestor: Annotated[str, typer.Option(help="which of its ingestors; default the first")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring the next window of a source to its own branch, check it there, request the merge."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.ingest.ingest import ingest as bring  # noqa: PLC0415
    from dartifact.project import load_source  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415
    from dartifact.wiring import open_source, open_stack, telling  # noqa: PLC0415

    settings = read_settings()
    module = load_source(source, settings.project)
    names = [each.name for each in module.SOURCE.ingestors]
    ingestor = ingestor or names[0]
    if ingestor not in names:
        raise errors.UsageError(f"{source} has no ingestor {ingestor}; it has {', '.join(names)}")
    with (
        open_stack(settings, say) as stack,
        open_source(settings, source, find_stand_in(settings.home)) as access,
        telling(settings, stack, say),
    ):
        runs = bring(stack, module.SOURCE, module.extract(access), ingestor, actor=f"ingestor:{ingestor}", say=say)
        described = [documents.describe_run(run) for run in runs]
    answer(described, output, cli_words.tell_runs_brought(runs))
    end_by_phase(runs)


@app.command()
def integrate(output: OutputOption = Output.TEXT) -> None:
    """Test what waits in the merge queue as it will be merged, and advance main."""
    from dataclasses import asdict  # noqa: PLC0415

    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.queue import integrate as queue  # noqa: PLC0415

    with opened(tells=True) as (settings, stack):
        done = queue.integrate(stack, actor=settings.person)
    answer(asdict(done), output, cli_words.tell_integration(done))
    if done.failed:
        raise typer.Exit(3)


@app.command()
def stage(
    retry: Annotated[
        bool, typer.Option("--retry", help="forget that today's dbt/ and checks/ were refused or red, build again")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Build main's head with dbt, test it, pack it as a dartifact, show it on env-staging."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.staging import stage as staging  # noqa: PLC0415
    from dartifact.domain.dartifacts import DartifactState  # noqa: PLC0415

    with opened(tells=True) as (settings, stack):
        last = stack.ledger.last_event()
        dartifact = staging.stage(stack, actor=settings.person, retry=retry)
        red = stack.ledger.events_after(last, ("DartifactRed",), 10)
        reverts = bool(stack.ledger.pending_reverts())
    for each in red:
        for reason in each.payload["reasons"] if each.dartifact_id != dartifact.dartifact_id else ():
            say(f"{each.dartifact_id} is red: {reason}")
    answer(documents.describe_dartifact(dartifact), output, cli_words.tell_dartifact(dartifact))
    if reverts:
        say("next: dartifact integrate")
    if red or dartifact.state is DartifactState.RED:
        raise typer.Exit(3)


@app.command()
def promote(
    dartifact: Annotated[str, typer.Argument(help="a green dartifact; default the newest")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="show the steps, do nothing")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring a green dartifact live: idle slot, smoke test, shift and soak, settle. Ctrl-C leaves it where it is."""
    import math  # noqa: PLC0415

    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.production import promote as production  # noqa: PLC0415
    from dartifact.commands.production.under_way import find_under_way  # noqa: PLC0415

    with opened(lake=not plan, sources=False, tells=not plan) as (settings, stack):
        if not plan:
            steps = production.promote(stack, dartifact or None, actor=settings.person, run=cli_words.run_aloud,
                                       patience=math.inf, tell=say)  # fmt: skip
        under_way, pointer = find_under_way(stack), stack.ledger.pointer()
        if plan:
            chosen = None if under_way else production.choose_promotion(stack, dartifact or None)
            planned = production.plan_promotion(stack, pointer, chosen.dartifact_id, "-") if chosen else None
            steps = under_way.plan if under_way else planned
    document = {
        "plan": steps.to_json() if steps else None,
        "under_way": documents.describe_under_way(under_way),
        "production": documents.describe_production(pointer),
    }
    answer(document, output, cli_words.tell_promotion(steps, pointer, under_way, planned=plan))


@app.command()
def abort(reason: Annotated[str, typer.Option(help="why; kept in the ledger")]) -> None:
    """End the promotion under way: consumers read what is live, at once; promotions are frozen."""
    from dartifact.commands.production.under_way import abort as command  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        ended = command(stack, reason=reason, actor=settings.person)
    say(f"the promotion of {ended.dartifact} has ended; it stays approved, and promotions are frozen")
    say("next: dartifact unfreeze --reason WHY, and the newest green dartifact is promoted")


@app.command()
def rollback(
    to: Annotated[str, typer.Option(help="a dartifact that served before; default the last one free of blame")] = "",
    blame: Annotated[list[str] | None, typer.Option(help="a run id, runs, code or unknown; may be repeated")] = None,
    reason: Annotated[str, typer.Option(help="why; kept in the ledger")] = "",
    preview: Annotated[bool, typer.Option("--preview", help="show what it would do, do nothing")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring back a dartifact that served before, at once; then take blamed runs out of main."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.production import rollback as command  # noqa: PLC0415
    from dartifact.commands.queue import integrate as queue  # noqa: PLC0415
    from dartifact.project import declared_sources  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415
    from dartifact.wiring import open_stack_surely  # noqa: PLC0415

    guilty = tuple(blame or ("unknown",))
    if preview:
        with opened(lake=False, sources=False) as (_, stack):
            shown = command.preview_rollback(stack, to or None, guilty)
        answer(documents.describe_rollback(shown), output, cli_words.tell_rollback(shown, done=False))
        return
    settings = read_settings()
    with open_stack_surely(settings, say) as stack:
        done = command.roll_back(stack, to or None, guilty, reason=reason or "no reason given", actor=settings.person)
        say(f"{done.returns} is live again; resolve answers {done.commit}")
        out: list[str] = []
        if done.reverts and done.published:
            from dataclasses import replace  # noqa: PLC0415

            full = replace(stack, sources=declared_sources(settings.project))
            try:
                out = queue.integrate(full, actor=settings.person).reverted
            except errors.Stopped as stopped:
                say(f"the reverts wait in the merge queue: {stopped.message}")
    document = {**documents.describe_rollback(done), "reverted": out}
    answer(document, output, cli_words.tell_rollback(done, done=True, reverted=tuple(out)))


@app.command()
def freeze(reason: Annotated[str, typer.Option(help="why promotions have to stop; kept in the ledger")]) -> None:
    """Stop promotions until they are allowed again; one under way stays where it is."""
    from dartifact.commands.production.under_way import freeze as command  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        command(stack, reason=reason, actor=settings.person)
    say("promotions are frozen; next: dartifact unfreeze --reason WHY")


@app.command()
def unfreeze(reason: Annotated[str, typer.Option(help="why promotions may go on; kept in the ledger")]) -> None:
    """Allow promotions again after a rollback with unknown blame, an abort or a freeze."""
    from dartifact.commands.production.under_way import unfreeze as command  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        command(stack, reason=reason, actor=settings.person)
    say("promotions are allowed")


@app.command()
def resolve(
    consumer: Annotated[str, typer.Option(help="a named reader; without it, plain readers of production")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say which commit a reader should read now."""
    from dataclasses import asdict  # noqa: PLC0415

    from dartifact.commands.production.promote import resolve as command  # noqa: PLC0415

    with opened(lake=False, sources=False) as (_, stack):
        found = command(stack, consumer or None)
    answer(asdict(found), output, found.commit)


@app.command(name="report-error")
def report_error(
    consumer: Annotated[str, typer.Option(help="the named reader that found it")],
    message: Annotated[str, typer.Option(help="what is wrong")],
    commit: Annotated[str, typer.Option(help="the commit it read; default what resolve told it last")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say that a consumer found an error in what it read; a promotion of that ends."""
    from dataclasses import asdict  # noqa: PLC0415

    from dartifact.commands.gates.traffic import report_error as command  # noqa: PLC0415

    with opened(lake=False, sources=False) as (settings, stack):
        kept = command(stack, consumer, message, actor=settings.person, commit=commit or None)
    text = f"kept: {kept.consumer} read {kept.dartifact or 'a commit that no slot shows any more'}"
    answer(asdict(kept), output, text + ("; its promotion will be stopped" if kept.stops else ""))


@app.command()
def status(output: OutputOption = Output.TEXT) -> None:
    """Say where main, the queue, staging and production stand, and what is missing."""
    from dartifact import documents  # noqa: PLC0415
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.local.note import read_note  # noqa: PLC0415

    with opened(sources=False) as (settings, stack):
        document = documents.describe_status(stack)
        note = read_note(settings.home)
    document["machines"] = note.to_json() if note else None
    answer(document, output, cli_words.tell_status(document) if output is Output.TEXT else "")


@app.command(name="notify-test")
def notify_test(output: OutputOption = Output.TEXT) -> None:
    """Send a test message to everybody who is to be told, and say what each answered."""
    from dataclasses import asdict  # noqa: PLC0415

    from dartifact.adapters.notifier import Notifier  # noqa: PLC0415
    from dartifact.commands.upkeep.notify import send_test  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415

    answers = send_test(Notifier(), [each.get_secret_value() for each in read_settings().notify_urls])
    lines = [f"{each.target}: {each.problem or 'took the message'}" for each in answers]
    answer([asdict(each) for each in answers], output, "\n".join(lines))
    if any(each.problem for each in answers):
        raise typer.Exit(4)


@app.command()
def doctor(output: OutputOption = Output.TEXT) -> None:
    """Look at everything dartifact needs and say what to do about what is wrong."""
    from dartifact.cli import words as cli_words  # noqa: PLC0415
    from dartifact.commands.upkeep.doctor import Orchestrator, examine  # noqa: PLC0415
    from dartifact.local.note import read_note  # noqa: PLC0415
    from dartifact.local.prefect_api import POOL, find_pool  # noqa: PLC0415
    from dartifact.project import declared_sources  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415
    from dartifact.wiring import open_access, prepare_home  # noqa: PLC0415

    settings = read_settings()
    prepare_home(settings.home)

    def find_orchestrator() -> Orchestrator | None:
        note = read_note(settings.home)
        found = find_pool(note.api_url if note else "", POOL)
        return Orchestrator(*found) if found else None

    findings = examine(
        project=settings.project,
        home=settings.home,
        ledger_url=settings.ledger,
        repository=settings.repository,
        open_access=lambda: open_access(settings, say),
        load_sources=lambda: declared_sources(settings.project),
        lake_url=settings.lake_url,
        find_orchestrator=find_orchestrator,
    )
    answer([each.to_json() for each in findings], output, cli_words.tell_findings(findings))
    if not all(each.ok for each in findings):
        raise typer.Exit(4)


cli_diff.register(app)
