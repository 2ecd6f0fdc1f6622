"""The verbs `checks validate` and `checks self-test`: are the checks fit to be asked, and do they catch anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dartifact.cli.frame import Output, OutputOption, answer, opened, say
from dartifact.domain import errors

if TYPE_CHECKING:
    from dartifact.compare.mutations.self_test import SelfTest, Trial

checks = typer.Typer(help="Look at the checks themselves.", no_args_is_help=True, rich_markup_mode=None)


def add_verbs(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    checks.command()(validate)
    checks.command(name="self-test")(self_test)
    app.add_typer(checks, name="checks")


def validate(output: OutputOption = Output.TEXT) -> None:
    """Read every file of checks/ strictly, without lake or ledger; exit code 1 when one would not be honoured."""
    from dartifact.commands.upkeep.validate import validate_checks  # noqa: PLC0415
    from dartifact.settings import read_settings  # noqa: PLC0415

    found = validate_checks(read_settings().project)
    lines = []
    for each in found:
        lines.append(f"{'ok  ' if each.ok else 'BAD '} {each.file}: {each.found}")
        if each.hint:
            lines.append(f"      try: {each.hint}")
    answer([each.to_json() for each in found], output, "\n".join(lines))
    if not all(each.ok for each in found):
        raise typer.Exit(1)


def self_test(
    dataset: Annotated[str, typer.Argument(help="a dataset, e.g. orders; default all")] = "",
    seed: Annotated[int, typer.Option(help="which columns and rows are spoiled")] = 0,
    magnitude: Annotated[float, typer.Option(help="how strong the faults are that have a strength", min=0.01)] = 1.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Spoil a recent good batch in every known way, on a throw-away branch, and tell what the gates stop."""
    from dartifact.commands.upkeep.self_test import self_test as command  # noqa: PLC0415

    with opened() as (_, stack):
        if dataset and dataset not in stack.sources:
            raise errors.UsageError(f"there is no dataset {dataset}; there are {', '.join(sorted(stack.sources))}")
        done = []
        for name in [dataset] if dataset else sorted(stack.sources):
            say(f"{name}: faults and harmless variations of a recent batch, one at a time")
            done.append(command(stack, name, seed=seed, magnitude=magnitude, progress=lambda line: say(f"  {line}")))
    documents = [each.to_json() for each in done]
    fitting, slipped = sum(len(each.fitting) for each in done), sum(len(each.slipped) for each in done)
    every = {
        "catch_rate": round(1 - slipped / max(fitting, 1), 4),
        "false_alarms": sum(each.false_alarms for each in done),
        "faults": [{"dataset": each["dataset"], **fault} for each in documents for fault in each["faults"]],
        "datasets": documents,
    }
    answer(documents[0] if dataset else every, output, "\n\n".join(tell_self_test(each) for each in done))


def tell_self_test(test: SelfTest) -> str:
    """Return the self-test of a dataset as text: a table of faults, what is let pass, the false alarms."""
    from dartifact.cli.words import render_table  # noqa: PLC0415

    others = [each.name for each in test.faults if each.columns is None]
    rows = [(each.name, ", ".join(each.columns or ()), each.stopped_by or "-", _tell_dose(each), each.check or "")
            for each in test.fitting]  # fmt: skip
    lines = [
        f"{test.dataset}: {len(test.fitting) - len(test.slipped)} of {len(test.fitting)} faults stopped "
        f"({test.catch_rate:.0%}), "
        f"{test.false_alarms} of {len(test.harmless)} harmless variations stopped",
        f"  in {test.batch}, {test.rows:,} rows; a fault counts as stopped when it is in one row of ten",
        *(f"  {note}" for note in test.notes),
        render_table(("fault", "column", "stopped by", "from a share of", "check"), rows),
    ]
    lines += _tell_trials("let pass", test.slipped)
    lines += _tell_trials("FALSE ALARM", [each for each in test.harmless if each.stopped_by is not None])
    lines += [f"fits no column here: {', '.join(others)}"] if others else []
    return "\n".join(lines)


def _tell_dose(trial: Trial) -> str:
    return f"{trial.smallest_dose:.0%}" if trial.smallest_dose is not None else "never"


def _tell_trials(title: str, trials: Sequence[Trial]) -> list[str]:
    return [f"{title}: {each.name} ({each.words})" + (f": {each.message}" if each.message else "") for each in trials]
