"""People are told what a gate has stopped: at once, in order, nothing lost, nobody delayed by another's target."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.ledger.values import Event
from dartifact.adapters.notifier import Notifier
from dartifact.commands.leases import hold_lease
from dartifact.commands.upkeep.notify import Delivery, compose, cursor_name, deliver, send_test, start_targets, told
from dartifact.domain.errors import Aborted, UsageError
from dartifact.domain.marks import mark
from dartifact.settings import Settings
from dartifact.wiring import telling
from tests.support.sources import CUSTOMERS, bad_order, customer
from tests.support.waiting import wait_until
from tests.support.world import World

PROJECT = Path(__file__).resolve().parents[2]
PLENTY = 30.0


class Webhook(NamedTuple):
    """A webhook: its Apprise URL, the titles it took, what sets the code it answers, the bodies it took."""

    url: str
    taken: list[str]
    answer: Callable[[int], None]
    bodies: list[str]


class Receiver:
    """Remembers titles per URL; a URL in `refusing` is refused, one in `silent` answers when its event is set."""

    def __init__(self) -> None:
        self.titles: dict[str, list[str]] = {}
        self.bodies: list[str] = []
        self.refusing: dict[str, str] = {}
        self.silent: dict[str, threading.Event] = {}

    def prepare(self) -> None:
        pass

    def send(self, url: str, title: str, body: str) -> str:
        if url in self.silent:
            self.silent[url].wait(60)
        if url in self.refusing:
            return self.refusing[url]
        self.titles.setdefault(url, []).append(title)
        self.bodies.append(body)
        return ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver; whoever is silent is let go at the end."""
    receiver = Receiver()
    yield receiver
    for event in receiver.silent.values():
        event.set()


def fail(ledger: Ledger, *names: str) -> None:
    with ledger.write() as tx:
        for name in names:
            reasons = ["orders.status: 3 invalid rows"]
            tx.append("RunFailed", "test", run=name, gate="local", reasons=reasons, branch=f"run-{name}")


def titles(*names: str) -> list[str]:
    return [f"{name} failed at the local gate" for name in names]


def event(type: str, sequence: int = 1, **content: Any) -> Event:
    ids = {name: content.pop(name, None) for name in ("run_id", "dartifact_id", "operation")}
    return Event(sequence, datetime(2021, 1, 1, tzinfo=UTC), type, "test", "", **ids, payload=content)


# What is said


def test_the_messages_read_like_this() -> None:
    reasons = ["orders.status: 3 of 10,000 rows (allowed: 0)", "orders.amount: 1 missing"]
    events = [
        event("RunFailed", 1, run_id="orders-dan-1", gate="local", branch="run-orders-dan-1", reasons=reasons),
        event("RunHeld", 2, run_id="orders-dan-2", gate="integration", branch="run-orders-dan-2", reasons=["waits"]),
        event("RunHeld", 3, run_id="orders-dan-3", reasons=["gave up after 3 attempts"]),
        event("DartifactRed", 4, dartifact_id="d1", reasons=[f"check {number}" for number in range(12)]),
        event("PromotionAborted", 5, dartifact_id="d2", step="shift blue to 25", reason="the live pointer moved"),
        event("SlotAbandoned", 6, dartifact_id="live", slot="blue", reasons=["marts.daily: 1 row"]),
        event("DartifactBad", 7, dartifact_id="d3", reasons=["marts.daily: 1 row"]),
        event("SlotAbandoned", 8, dartifact_id="live", slot="green", reason="rollback"),
        event("DartifactBad", 20, dartifact_id="d4", reasons=["a person's decision"]),
    ]
    shown = "\n\n".join(f"{each.sequence} {each.title}\n{each.body}" for each in compose(events))
    assert shown == (
        """\
1 orders-dan-1 failed at the local gate
branch: run-orders-dan-1
- orders.status: 3 of 10,000 rows (allowed: 0)
- orders.amount: 1 missing
look: dartifact show orders-dan-1

2 orders-dan-2 is held at the integration gate
branch: run-orders-dan-2
- waits
look: dartifact show orders-dan-2

4 dartifact d1 is red at the staging gate
- check 0
- check 1
- check 2
- check 3
- check 4
- check 5
- check 6
- check 7
- check 8
- check 9
- and 2 more
look: dartifact show d1

5 the way of dartifact d2 to production stopped before «shift blue to 25»
- the live pointer moved
look: dartifact show d2

6 dartifact d3 failed at the smoke gate on slot blue
- marts.daily: 1 row
look: dartifact show d3

8 slot green was abandoned before it served anybody
- rollback
look: dartifact status"""
    )


def test_after_an_outage_many_stops_are_one_message() -> None:
    events = [event("RunFailed", n, run_id=f"r{n}", gate="local") for n in range(1, 11)]
    assert len(compose(events)) == 10
    (message,) = compose([*events, event("DartifactRed", 11, dartifact_id="d1")])
    assert message.sequence == 11
    assert message.title == "11 stops while you could not be notified"
    assert message.body.splitlines()[:5] == [
        "since 2021-01-01 00:00 UTC:",
        "- 10 RunFailed",
        "- 1 DartifactRed",
        "the last of them:",
        "- r2 failed at the local gate",
    ]
    assert message.body.splitlines()[-1] == "look: dartifact status, dartifact runs"


# Delivery


def test_without_urls_nothing_happens(ledger: Ledger) -> None:
    fail(ledger, "a")
    assert deliver(ledger, Receiver(), [], budget_seconds=PLENTY) == ()
    with told(ledger, Receiver(), [], print):
        pass
    assert ledger.cursors([cursor_name("")]) == {}


def test_without_urls_a_command_imports_no_apprise(tmp_path: Path) -> None:
    code = (
        "import sys; from dartifact.cli import app; from dartifact.settings import Settings\n"
        "from dartifact.wiring import telling\n"
        "from types import SimpleNamespace\n"
        "with telling(Settings(), SimpleNamespace(ledger=None), print): pass\n"
        "sys.exit('apprise' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


def test_a_new_target_starts_now(ledger: Ledger, receiver: Receiver) -> None:
    fail(ledger, "long-ago")
    with told(ledger, receiver, ["json://a"], print):
        fail(ledger, "now")
    assert receiver.titles == {"json://a": titles("now")}
    with told(ledger, receiver, ["json://a", "json://b"], print):
        fail(ledger, "later")
    assert receiver.titles == {"json://a": titles("now", "later"), "json://b": titles("later")}


def test_each_stop_is_told_once_and_in_order(ledger: Ledger, receiver: Receiver) -> None:
    start_targets(ledger, ["json://a"])
    fail(ledger, "a", "b", "c")
    assert deliver(ledger, receiver, ["json://a"], budget_seconds=PLENTY) == (Delivery("target 1 (json)", 3),)
    assert deliver(ledger, receiver, ["json://a"], budget_seconds=PLENTY) == ()
    assert receiver.titles["json://a"] == titles("a", "b", "c")


def test_a_url_named_twice_is_told_once(ledger: Ledger, receiver: Receiver) -> None:
    with told(ledger, receiver, ["json://a", "json://a"], print):
        fail(ledger, "a")
    assert receiver.titles == {"json://a": titles("a")}


def test_what_nobody_is_told_of_moves_the_cursor_silently(ledger: Ledger, receiver: Receiver) -> None:
    start_targets(ledger, ["json://a"])
    with ledger.write() as tx:
        tx.append("RunHeld", "test", run="a", reasons=["gave up after 3 attempts"])
        tx.append("RunMerged", "test", run="b")
    assert deliver(ledger, receiver, ["json://a"], budget_seconds=PLENTY) == (Delivery("target 1 (json)", 0),)
    assert receiver.titles == {}
    assert deliver(ledger, receiver, ["json://a"], budget_seconds=PLENTY) == ()


def test_a_refusing_target_loses_nothing_and_delays_nobody(ledger: Ledger, receiver: Receiver) -> None:
    urls = ["json://down", "json://up"]
    start_targets(ledger, urls)
    fail(ledger, "a", "b")
    receiver.refusing["json://down"] = "it answered 500"
    assert deliver(ledger, receiver, urls, budget_seconds=PLENTY) == (
        Delivery("target 1 (json)", 0, "it answered 500"),
        Delivery("target 2 (json)", 2),
    )
    receiver.refusing.clear()
    deliver(ledger, receiver, urls, budget_seconds=PLENTY)
    assert receiver.titles == {"json://down": titles("a", "b"), "json://up": titles("a", "b")}


def test_after_a_long_outage_the_target_gets_one_message(ledger: Ledger, receiver: Receiver) -> None:
    start_targets(ledger, ["json://a"])
    fail(ledger, *(f"r{number}" for number in range(30)))
    assert deliver(ledger, receiver, ["json://a"], budget_seconds=PLENTY) == (Delivery("target 1 (json)", 1),)
    assert receiver.titles["json://a"] == ["30 stops while you could not be notified"]
    assert deliver(ledger, receiver, ["json://a"], budget_seconds=PLENTY) == ()


def test_a_silent_target_delays_nobody_and_counts_when_it_answers_after_all(ledger: Ledger, receiver: Receiver) -> None:
    urls = ["json://silent", "json://up"]
    start_targets(ledger, urls)
    fail(ledger, "a")
    receiver.silent["json://silent"] = threading.Event()
    silent, up = deliver(ledger, receiver, urls, budget_seconds=0.5)
    assert (silent.sent, silent.problem) == (0, "timed out")
    assert up == Delivery("target 2 (json)", 1)
    # While it is being told, nobody else tells it the same.
    (again,) = deliver(ledger, receiver, urls, budget_seconds=0.2)
    assert again.problem in ("another process is telling it", "timed out")
    receiver.silent.pop("json://silent").set()
    newest = ledger.events()[-1].sequence
    wait_until(lambda: ledger.cursors([cursor_name("json://silent")])[cursor_name("json://silent")] == newest)
    wait_until(lambda: not any(each.name.startswith("target") for each in threading.enumerate()))
    assert receiver.titles["json://silent"] == titles("a")


def test_who_waits_for_another_process_tells_what_that_one_has_not_seen(ledger: Ledger, receiver: Receiver) -> None:
    start_targets(ledger, ["json://a"])
    fail(ledger, "a")
    done: list[tuple[Delivery, ...]] = []
    with hold_lease(ledger, cursor_name("json://a")):
        thread = threading.Thread(
            target=lambda: done.append(deliver(ledger, receiver, ["json://a"], budget_seconds=PLENTY))
        )
        thread.start()
        wait_until(lambda: any(each.name.startswith("target") for each in threading.enumerate()))
        assert receiver.titles == {}
    thread.join()
    assert done == [(Delivery("target 1 (json)", 1),)]
    assert receiver.titles["json://a"] == titles("a")


def test_an_aborted_command_tells_too_and_keeps_its_error(ledger: Ledger, receiver: Receiver) -> None:
    with pytest.raises(Aborted), told(ledger, receiver, ["json://a"], print):  # noqa: PT012
        fail(ledger, "a")
        raise Aborted("the smoke test is red")
    assert receiver.titles == {"json://a": titles("a")}


def test_a_target_that_cannot_be_told_fails_no_command(ledger: Ledger, receiver: Receiver) -> None:
    said: list[str] = []
    receiver.refusing["json://me:secret@a"] = "it answered 500"
    with told(ledger, receiver, ["json://me:secret@a"], said.append):
        fail(ledger, "a")
    assert said == ["target 1 (json) not notified: it answered 500; will retry"]


def test_a_ledger_that_is_gone_fails_no_command(ledger: Ledger, receiver: Receiver, tmp_path: Path) -> None:
    said: list[str] = []
    start_targets(ledger, ["json://a"])
    with told(ledger, receiver, ["json://a"], said.append):
        ledger.close()
        (tmp_path / "ledger.db").write_bytes(b"no database any more" * 1000)
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
    assert len(said) == 1
    assert said[0].startswith("nobody notified: the ledger")


# Real receivers, and processes that die


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """Run a webhook."""
    taken: list[str] = []
    bodies: list[str] = []
    codes = [200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if codes[-1] == 200:
                taken.append(content["title"])
                bodies.append(content["message"])
            self.send_response(codes[-1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Webhook(f"json://127.0.0.1:{server.server_port}/secret-word", taken, codes.append, bodies)
        server.shutdown()
        thread.join()


KILLED = """
import os, signal, sys
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.adapters.notifier import Notifier
from dartifact.commands.upkeep.notify import deliver
class Dying(Notifier):
    def send(self, url, title, body):
        if sys.argv[3] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().send(url, title, body)
        os.kill(os.getpid(), signal.SIGKILL)
deliver(Ledger(sys.argv[1]), Dying(), [sys.argv[2]], budget_seconds=60)
"""


@pytest.mark.parametrize(("moment", "took"), [("before", ("a", "b")), ("after", ("a", "a", "b"))])
def test_a_process_killed_while_it_tells_loses_nothing_and_doubles_one_message_at_most(
    ledger: Ledger, webhook: Webhook, moment: str, took: tuple[str, ...]
) -> None:
    url, taken, *_ = webhook
    start_targets(ledger, [url])
    fail(ledger, "a", "b")
    process = subprocess.run(
        [sys.executable, "-c", KILLED, ledger.url, url, moment], cwd=PROJECT, check=False, env=os.environ
    )
    assert process.returncode == -9
    # Its lease does not have to run out: who died on this machine holds nothing.
    assert deliver(ledger, Notifier(), [url], budget_seconds=PLENTY) == (Delivery("target 1 (json)", 2),)
    assert taken == titles(*took)


def test_a_webhook_that_recovers_gets_what_it_has_missed(ledger: Ledger, webhook: Webhook) -> None:
    url, taken, answer, _ = webhook
    answer(500)
    said: list[str] = []
    with told(ledger, Notifier(), [url], said.append):
        fail(ledger, "a")
    assert said == ["target 1 (json) not notified: it answered 500; will retry"]
    answer(200)
    with told(ledger, Notifier(), [url], said.append):
        fail(ledger, "b")
    assert taken == titles("a", "b")
    assert len(said) == 1


def test_a_run_that_fails_its_checks_is_told_with_branch_and_reasons(world: World, receiver: Receiver) -> None:
    with told(world.stack.ledger, receiver, ["json://a"], print):
        world.bring("customers", customer(1))
        run = world.bring("orders", bad_order(1))
    assert receiver.titles == {"json://a": [f"{run.run_id} failed at the local gate"]}
    assert receiver.bodies == [
        "\n".join(
            [f"branch: {run.branch}", *(f"- {each}" for each in run.reasons), f"look: dartifact show {run.run_id}"]
        )
    ]
    assert run.reasons


# The settings, the verb, the ledger


def test_the_settings_name_whom_to_tell_and_never_show_it(
    ledger: Ledger,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from types import SimpleNamespace  # noqa: PLC0415

    url, taken, *_ = webhook
    monkeypatch.setenv("DARTIFACT_NOTIFY_URLS", json.dumps([url]))
    settings = Settings()
    assert "secret-word" not in repr(settings)
    sources = {"customers": replace(CUSTOMERS, personal=("email",))}
    with telling(settings, SimpleNamespace(ledger=ledger, sources=sources), print):  # type: ignore[arg-type]
        fail(ledger, "a")
        with ledger.write() as tx:
            tx.append("RunFailed", "test", run="b", gate="local", reasons=[f"customers.email: {mark('eve')} is new"])
    assert taken == titles("a", "b")
    assert webhook.bodies[-1] == "- customers.email: ••• is new\nlook: dartifact show b"
    with ledger._database.engine.connect() as connection:
        assert "secret-word" not in str(connection.execute(sa.select(t.cursors)).all())


def test_a_test_message_says_what_each_answered(receiver: Receiver) -> None:
    receiver.refusing["slack://b"] = "it answered 403"
    assert send_test(receiver, ["json://a", "slack://b"]) == (
        Delivery("target 1 (json)", 1),
        Delivery("target 2 (slack)", 0, "it answered 403"),
    )
    assert receiver.titles == {"json://a": ["dartifact: a test"]}
    with pytest.raises(UsageError, match="no notification target configured"):
        send_test(receiver, [])


def test_the_verb_tests_each_target_and_fails_when_one_does_not_answer(
    webhook: Webhook,
) -> None:
    url, taken, *_ = webhook
    env = os.environ | {"DARTIFACT_NOTIFY_URLS": json.dumps([url, "json://127.0.0.1:9/secret-word"])}
    verb = [sys.executable, "-m", "dartifact", "notify-test"]
    process = subprocess.run(verb, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
    assert process.stdout.splitlines() == [
        "target 1 (json): delivered",
        "target 2 (json): it cannot be reached, or refused the message",
    ]
    assert (process.returncode, taken) == (4, ["dartifact: a test"])
    assert "secret-word" not in process.stdout + process.stderr


def test_a_ledger_of_version_1_gets_the_table_and_keeps_its_events(tmp_path: Path, receiver: Receiver) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    old = Ledger(url)
    fail(old, "long-ago")
    with old._database.engine.execution_options(writes=True).begin() as connection:
        t.cursors.drop(connection)
        connection.execute(t.schema_version.update().values(version=1))
    old.close()
    opened = Ledger(url)
    with told(opened, receiver, ["json://a"], print):
        fail(opened, "now")
    opened.close()
    assert receiver.titles == {"json://a": titles("now")}
    again = Ledger(url)
    assert [each.run_id for each in again.events()] == ["long-ago", "now"]
    with again._database.engine.connect() as connection:
        assert connection.execute(sa.select(t.schema_version.c.version)).all() == [(t.VERSION,)]
    again.close()
