"""The chapters of the story, in the order in which they are played."""

from __future__ import annotations

import time

from dartifact.adapters.lakefs.lake import MAIN
from dartifact.commands.production.resolution import resolve
from dartifact.commands.production.rollback import roll_back
from dartifact.commands.production.rollback_preview import preview_rollback
from dartifact.demo.staging_chapter import play_staging
from dartifact.demo.story import INGESTORS, Story
from dartifact.demo.traffic_chapter import play_blue_green
from dartifact.domain.checks import Gate
from dartifact.domain.dartifacts import Cause
from dartifact.domain.events import EventType
from dartifact.domain.runs import Phase

ANALYST = "person:analyst"


def play(story: Story) -> None:
    """Play the chapters in order; a chapter that ends differently does not stop the ones after it."""
    story.road.prepare()
    story.catch_up()
    for title, chapter in _CHAPTERS:
        with story.chapter(title):
            chapter(story)


def _good_day(story: Story) -> None:
    story.company.advance()
    story.narrator.say(f"It is {story.company.now:%Y-%m-%d %H:%M} for the company; five minutes of data are waiting.")
    dana, dan, dave = story.bring_all()
    story.expect(f"Dana has a branch of her own, {dana.branch}", story.stack.lake.has_branch(dana.branch))
    story.show_merge_requests(dana, dan, dave)
    done, dartifact = story.deliver()
    story.expect("all three runs are in main", {dana.run_id, dan.run_id, dave.run_id} <= set(done.merged))
    story.expect("production shows the new dartifact", resolve(story.stack).dartifact == dartifact.dartifact_id)
    rows = sum(mart["rows"] for mart in (dartifact.passport or {}).get("marts", {}).values())
    story.expect(f"customer_statistics has rows ({rows:,})", rows > 0)
    story.names["good_run"] = dan.run_id


def _bad_chunk(story: Story) -> None:
    before = story.look()
    story.company.add_fault("orders", "negative_amounts")
    story.company.advance()
    story.narrator.say("Five minutes later. The orders system sends a chunk in which orders have negative amounts.")
    # The other half of the same chunk is as bad; its run is a developer of its own and is stopped by itstory.
    bad, half = story.bring("orders", "dan"), story.bring("orders", "dave")
    story.names["failed_run"] = bad.run_id
    for reason in bad.reasons[:3]:
        story.narrator.say(f"  why: {reason}")
    stopped = {bad.phase, half.phase} == {Phase.FAILED}
    story.expect(f"{bad.run_id} and {half.run_id} are stopped at their local gates", stopped)
    story.expect(f"the branch {bad.branch} is there to look at", story.stack.lake.has_branch(bad.branch))
    rows = story.failing_rows(bad)
    if rows:
        own = [(name, value) for name, value in rows[0].items() if not name.startswith("_")]
        story.narrator.say("  e.g. " + ", ".join(f"{name}={value}" for name, value in own[:4]))
    story.expect("its failing rows can be read", bool(rows))
    story.integrate()
    story.expect("main and production are what they were", story.look() == before)

    story.narrator.say("Five minutes later the next chunk comes, and flows past.")
    story.company.advance()
    runs = story.bring_all()
    done, dartifact = story.deliver()
    story.expect("the next runs are in main", {run.run_id for run in runs} <= set(done.merged))
    story.expect("production shows them", resolve(story.stack).dartifact == dartifact.dartifact_id)


def _together(story: Story) -> None:
    story.company.advance()
    story.narrator.say("Dan and Dave bring half of the orders each, at the same time.")
    story.bring("customers", "dana")
    lake_before = story.stack.lake.seconds
    started = time.monotonic()
    dan, dave = (story.tell_run(run) for run in story.road.bring_together(INGESTORS[1:]))
    # What extracting took is not what this product adds; the stations after it are.
    story.figures["check"] = round(time.monotonic() - started - (story.road.extract_seconds or 0.0), 3)
    done = story.timed("integrate", story.integrate)
    if story.road.extract_seconds is not None:  # otherwise other processes have done it
        story.figures["lake_branch_to_merged"] = round(story.stack.lake.seconds - lake_before, 3)
    story.expect("both are in main", {dan.run_id, dave.run_id} <= set(done.merged))
    story.expect("they were tested together, as they were merged", story.were_tested_together(dan, dave))
    dartifact = story.timed("stage", story.stage)
    story.timed("promote", story.promote)
    stations = ("check", "integrate", "stage", "promote")
    story.figures["extract_to_production"] = round(sum(story.figures[each] for each in stations), 3)
    story.expect("production shows them", resolve(story.stack).dartifact == dartifact.dartifact_id)


def _forgotten(story: Story) -> None:
    before = story.look()
    story.company.add_fault("orders", "unknown_status")
    story.company.advance()
    story.narrator.say("Somebody has switched Dan's and Dave's local checks off, and their next chunk is bad.")
    both = story.road.bring_together(INGESTORS[1:], unchecked=frozenset({"dan", "dave"}))
    left_out = all(story.stack.ledger.events(run_id=run.run_id, type=EventType.LOCAL_GATE_LEFT_OUT) for run in both)
    story.expect("nobody has checked them: both ask to be merged", left_out)
    story.integrate()
    dan, dave = (story.tell_run(story.stack.ledger.run(run.run_id)) for run in both)
    for reason in dan.reasons[:3]:
        story.narrator.say(f"  why: {reason}")
    at_integration = {(run.phase, run.gate) for run in (dan, dave)} == {(Phase.FAILED, Gate.INTEGRATION)}
    story.expect("they are caught all the same, at integration", at_integration)
    advised = any("switch it on" in reason for reason in dan.reasons)
    story.expect("the reasons say that the local gate would have caught it", advised)
    story.expect("main and production are what they were", story.look() == before)
    story.narrator.say("Their checks are on again; the next chunk flows past.")
    story.company.advance()
    runs = story.bring_all()
    done, _ = story.deliver()
    story.expect("the next runs are in main", {run.run_id for run in runs} <= set(done.merged))


def _breaks_anyway(story: Story) -> None:
    old = resolve(story.stack, "dashboard")
    revenue = story.revenue(old.commit)
    story.company.add_fault("orders", "net_amounts")
    story.company.advance()
    story.narrator.say(
        "A release of the orders system sends amounts without tax. Each is a valid amount, and none is unusual."
    )
    _, *guilty = story.bring_all()
    blamed = tuple(run.run_id for run in guilty)
    story.names["blamed_run"] = blamed[0]
    story.deliver()
    now = resolve(story.stack, "dashboard")
    story.expect("it passed all gates and is live", now.commit != old.commit and story.hold(guilty, MAIN) == {True})
    story.narrator.say(
        f"An analyst sees it in the books: {story.revenue(now.commit) - revenue:,.0f} EUR of new revenue, "
        "and more has come in at the bank."
    )
    shown = preview_rollback(story.stack, cause=Cause(blamed))
    story.narrator.say(f"The preview: {shown.returns} comes back, {len(shown.reverts)} runs leave main.")
    started = time.monotonic()
    reason = "amounts are net of tax"

    def press() -> None:
        roll_back(
            story.stack, cause=Cause(blamed), reason=reason, actor=ANALYST, runner=story.timing(started, old.commit)
        )

    story.narrator.step("roll back", press)
    story.expect("resolve answers the old commit", resolve(story.stack, "dashboard").commit == old.commit)
    if "rollback" in story.figures:
        story.narrator.say(f"  after {story.figures['rollback'] * 1000:.0f} ms")
    done = story.integrate()
    story.expect("the blamed runs are reverted", set(blamed) <= set(done.reverted))
    story.expect("their folders are gone from main", story.hold(guilty, MAIN) == {False})
    dartifact = story.stage()
    story.promote()
    live = resolve(story.stack)
    story.expect(
        "what is promoted next is without it",
        not set(blamed) & set(dartifact.runs) and live.dartifact == dartifact.dartifact_id,
    )


_CHAPTERS = (
    ("A good day", _good_day),
    ("A bad chunk", _bad_chunk),
    ("Together", _together),
    ("Somebody forgot", _forgotten),
    ("Staging", play_staging),
    ("Blue/green", play_blue_green),
    ("It breaks anyway", _breaks_anyway),
)
