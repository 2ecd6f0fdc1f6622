"""The chapter on blue/green: how a green dartifact gets its readers, as the ledger has written it down."""

from __future__ import annotations

from itertools import pairwise

from dartifact.commands.production.resolution import resolve
from dartifact.demo.story import Story
from dartifact.domain.events import EventType
from dartifact.domain.plans import LivePointer, choose_slot

_CONSUMERS = tuple(f"dashboard-{number}" for number in range(1, 101))
_WATCHED = (EventType.SLOT_PUBLISHED, EventType.SLOT_SMOKED, EventType.TRAFFIC_SHIFTED, EventType.PRODUCTION_SETTLED)


def play_blue_green(story: Story) -> None:
    """Bring a good chunk to production and follow its promotion from event to event."""
    ledger = story.stack.ledger
    last, before = ledger.last_event(), ledger.pointer()
    story.company.advance()
    story.narrator.say(f"Five minutes later. Readers are on {before.active}; what comes next goes to {before.idle}.")
    story.bring_all()
    _, dartifact = story.deliver()
    for number, step in enumerate(ledger.promotions(most=1)[0].plan.steps, start=1):
        story.narrator.say(f"  {number}. {step}")
    events = [each for each in ledger.events_after(last, _WATCHED, 50) if each.payload["slot"] == before.idle]
    order = [each.type for each in events]
    tested_first = (
        order[:2] == [EventType.SLOT_PUBLISHED, EventType.SLOT_SMOKED] and order.count(EventType.SLOT_SMOKED) == 1
    )
    story.expect(f"it is smoke-tested on {before.idle} before anybody reads it", tested_first)
    pointers = [
        LivePointer.from_json(each.payload["pointer"]) for each in events if each.type == EventType.TRAFFIC_SHIFTED
    ]
    readers = [{name for name in _CONSUMERS if choose_slot(each, name) == before.idle} for each in pointers]
    shares = ", then ".join(str(len(each)) for each in readers)
    story.narrator.say(f"  Of {len(_CONSUMERS)} dashboards {shares} read it.")
    story.expect(
        "traffic moves slowly, and nobody is sent back",
        len(readers) > 1
        and all(fewer < more for fewer, more in pairwise(readers))
        and len(readers[-1]) == len(_CONSUMERS),
    )
    waited = order[-1:] == [EventType.PRODUCTION_SETTLED] and {each.active for each in pointers} == {before.active}
    story.expect("plain readers of production follow at the end", waited)
    now = resolve(story.stack)
    story.expect(
        f"production shows it on {before.idle}", (now.dartifact, now.slot) == (dartifact.dartifact_id, before.idle)
    )
