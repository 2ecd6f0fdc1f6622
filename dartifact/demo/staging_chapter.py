"""The chapter on staging: a broken change of the project, then data that is valid by itself and wrong in the mart."""

from __future__ import annotations

import shutil
from pathlib import Path

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.adapters.ledger.values import Event
from dartifact.adapters.transform.project_code import FOLDERS
from dartifact.commands.production.resolution import resolve
from dartifact.demo.story import Story
from dartifact.domain.events import EventType
from dartifact.domain.runs import Phase, run_folder

_MART = Path("dbt/models/marts/customer_statistics.sql")
_JOIN = (
    "left join {{ ref('stg_customers') }} as customers on customers.customer_id = orders.customer_id",
    "join {{ ref('stg_customers') }} as customers on customers.customer_id = orders.status",
)


def play_staging(story: Story) -> None:
    """Play both halves."""
    _break_code(story)
    _break_data(story)


def copy_project(project: Path, into: Path) -> Path:
    """Copy what the code of a dartifact is, and its sources; the project itself is never edited."""
    shutil.rmtree(into, ignore_errors=True)
    for folder in (*FOLDERS, "flows"):
        shutil.copytree(project / folder, into / folder, ignore=shutil.ignore_patterns("target", "logs"))
    return into


def _break_code(story: Story) -> None:
    project = copy_project(story.stack.project, story.stack.home / "demo" / "project")
    mart = project / _MART
    mart.write_text(mart.read_text(encoding="utf-8").replace(*_JOIN), encoding="utf-8")
    before, last = story.look(), story.stack.ledger.last_event()
    story.narrator.say("Somebody changes a model: customers are joined to orders on the wrong column.")
    with story.road.change_project(project):
        story.road.stage()
        red = _find_red(story, last)
        _tell(story, red)
        story.expect(
            "staging names the code as the culprit", [each.payload["culprit"]["kind"] for each in red] == ["code"]
        )
        story.expect("main and production are what they were", story.look() == before)
        story.narrator.say("The change waits for its author. Five minutes later the next data flows past it.")
        story.company.advance()
        runs = story.bring_all()
        done, dartifact = story.deliver()
        refused = (dartifact.passport or {}).get("refused")
        good = refused["built_with"] if refused else None
        story.expect("the next runs are in main", {run.run_id for run in runs} <= set(done.merged))
        story.expect(f"the data is built with the last good code, of {good}", good is not None)
        story.expect("production shows it", resolve(story.stack).dartifact == dartifact.dartifact_id)


def _break_data(story: Story) -> None:
    last, live = story.stack.ledger.last_event(), resolve(story.stack).dartifact
    story.company.add_fault("orders", "epoch_date")
    story.company.advance()
    story.narrator.say("One order comes with the date 1970-01-01. It is a date, so local gate and integration pass it.")
    runs = story.bring_all()
    story.deliver()
    red = _find_red(story, last)
    _tell(story, red)
    named = [each.payload["culprit"]["run"] for each in red]
    guilty = next((run for run in runs if [run.run_id] == named), None)
    story.expect("staging names one of the runs as the culprit", guilty is not None)
    _, dartifact = story.deliver()
    if guilty is None:
        return
    story.names["culprit_run"] = guilty.run_id
    story.narrator.say(f"{guilty.run_id} is taken out of main by policy; the others stay.")
    left = story.stack.ledger.run(guilty.run_id)
    gone = not story.stack.lake.list_objects(f"{MAIN}@", run_folder(guilty.source, guilty.run_id))
    story.expect(
        "it is reverted, and its branch is there to look at",
        left.phase is Phase.REVERTED and gone and story.stack.lake.has_branch(guilty.branch),
    )
    others = {run.run_id for run in runs} - {guilty.run_id}
    story.expect("the other data flows past", others <= set(dartifact.runs) and guilty.run_id not in dartifact.runs)
    shown = resolve(story.stack).dartifact
    story.expect("production shows it", shown == dartifact.dartifact_id and shown != live)


def _find_red(story: Story, since: int) -> tuple[Event, ...]:
    return story.stack.ledger.events_after(since, (EventType.DARTIFACT_RED,), 10)


def _tell(story: Story, red: tuple[Event, ...]) -> None:
    for event in red:
        for reason in (event.payload["reasons"][0], event.payload["reasons"][-1]):
            story.narrator.say(f"  why: {reason}")
