"""Time the ledger's pages at a million events: `python tests/bench/bench_ledger.py [--events N] [--url URL]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dartifact.adapters.ledger import tables as t
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain import plans
from dartifact.domain.plans import LivePointer
from dartifact.domain.runs import UNFINISHED, Phase

START = datetime(2021, 1, 1, tzinfo=UTC)
EVENTS_PER_RUN = 8
LIMIT_MS = 100.0
ROUNDS = 30


def main() -> None:
    """Fill a ledger, time its pages, print a table; exit with 1 when one is slower than the design allows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--url", help="an empty database; default SQLite in a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as folder:
        url = arguments.url or f"sqlite:///{Path(folder) / 'ledger.db'}"
        ledger = Ledger(url)
        started = time.perf_counter()
        runs = fill(ledger, arguments.events)
        filled = time.perf_counter() - started
        print(f"{describe_environment(ledger)}\n{arguments.events:,} events, {runs:,} runs, filled in {filled:.0f} s\n")
        slow = print_table(ledger, runs, url)
        ledger.close()
    sys.exit(1 if slow else 0)


def print_table(ledger: Ledger, runs: int, url: str) -> list[str]:
    """Print the times of all pages and return the names of the slow ones."""
    middle = f"orders-dan-{runs // 2}"
    newest = ledger.events(most=1)[0].sequence
    named = [f"orders-dan-{number}" for number in range(20)]
    pages: dict[str, Callable[[], Any]] = {
        "open the ledger": lambda: Ledger(url).close(),
        "pointer()": ledger.pointer,
        "run(RUN)": lambda: ledger.run(middle),
        "runs(most=50)": lambda: ledger.runs(most=50),
        "runs(source, most=50)": lambda: ledger.runs(source="orders", most=50),
        "runs(ingestor, most=50)": lambda: ledger.runs(ingestor="dan", most=50),
        "runs(unfinished, ingestor)": lambda: ledger.runs(phases=UNFINISHED, ingestor="dan"),
        "runs(phase=queued)": lambda: ledger.runs(phases=(Phase.QUEUED,)),
        "runs(phase=live, most=50)": lambda: ledger.runs(phases=(Phase.LIVE,), most=50),
        "runs(failed or held, most=20)": lambda: ledger.runs(phases=(Phase.FAILED, Phase.HELD), most=20),
        "runs(names=20, phases)": lambda: ledger.runs(names=named, phases=(Phase.MERGED, Phase.LIVE)),
        "gaps()": ledger.gaps,
        "pending_reverts()": ledger.pending_reverts,
        "last_claim(source, shard)": lambda: ledger.last_claim("orders", 0),
        "events(run_id)": lambda: ledger.events(run_id=middle),
        "events(run_id, type)": lambda: ledger.events(run_id=middle, type="BatchCommitted"),
        "events(dartifact_id, type)": lambda: ledger.events(dartifact_id="d50", type="DartifactLive"),
        "events(most=200)": ledger.events,
        "events_after(newest - 20)": lambda: ledger.events_after(newest - 20, ("RunMerged", "DartifactLive"), 100),
        "count_runs()": ledger.count_runs,
        "events(type=rare, most=1000)": lambda: ledger.events(type="DartifactLive", most=1000),
        "events(type=absent)": lambda: ledger.events(type="NeverHappened"),
        "dartifacts(most=1)": lambda: ledger.dartifacts(most=1),
        "has_green_report()": lambda: ledger.has_green_report("m"),
        "open_intents()": ledger.open_intents,
        "promotions()": ledger.promotions,
        "write: one event": lambda: _write_one(ledger),
        "write: swap the pointer": lambda: _swap(ledger),
    }
    print(f"{'page':<32}{'median ms':>10}{'worst ms':>10}{'rows':>9}")
    slow = []
    for name, page in pages.items():
        result = page()
        times = sorted(_time(page) for _ in range(ROUNDS))
        rows = f"{len(result):,}" if isinstance(result, tuple) else ""
        mark = "  SLOW" if statistics.median(times) > LIMIT_MS else ""
        slow += [name] if mark else []
        print(f"{name:<32}{statistics.median(times):>10.1f}{times[-1]:>10.1f}{rows:>9}{mark}")
    return slow


def fill(ledger: Ledger, events: int) -> int:
    """Insert runs with eight events each in bulk, beside the writer: one in a hundred runs leaves a gap."""
    runs = events // EVENTS_PER_RUN
    with ledger._database.engine.execution_options(writes=True).begin() as connection:
        for table, rows in (
            (t.windows, _windows(runs)),
            (t.runs, _runs(runs)),
            (t.events, _events(runs)),
            (t.dartifacts, _dartifacts(runs // 100)),
        ):
            for chunk in _chunks(rows, 10_000):
                connection.execute(table.insert(), chunk)
        if connection.dialect.name == "postgresql":  # ids were given, so the counters do not know of them
            for table, column in ((t.windows, "seq"), (t.dartifacts, "created")):
                query = f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column}'), max({column})) FROM {table}"
                connection.exec_driver_sql(query)
            connection.exec_driver_sql("ANALYZE")  # what autovacuum does; nobody does it for SQLite
    return runs


def _phase(number: int, runs: int) -> tuple[str, str]:
    if number > runs - 10:
        return "queued", "open"
    return ("failed", "held") if number % 100 == 0 else ("live", "merged")


def _windows(runs: int) -> Iterator[dict[str, Any]]:
    for number in range(runs):
        lo = START + timedelta(minutes=5 * number)
        yield {"seq": number + 1, "source": "orders", "shard": number % 2, "lo": lo, "hi": lo + timedelta(minutes=5),
               "state": _phase(number, runs)[1]}  # fmt: skip


def _runs(runs: int) -> Iterator[dict[str, Any]]:
    for number in range(runs):
        yield {"run_id": f"orders-dan-{number}", "source": "orders", "ingestor": "dan", "number": number,
               "seq": number + 1, "phase": _phase(number, runs)[0], "created_at": START, "gate": "local",
               "commit_id": f"{number:064x}", "rows": 10_000, "report": f"{number:064x}", "reasons": [],
               "attempts": 0}  # fmt: skip


def _events(runs: int) -> Iterator[dict[str, Any]]:
    types = ("WindowClaimed", "BatchCommitted", "MergeRequested", "MergeApproved", "RunMerged", "RunChecked",
             "RunNoted", "RunServed")  # fmt: skip
    for number in range(runs):
        for step, name in enumerate(types):
            rare = step == 7 and number % 100 == 0
            yield {"at": START + timedelta(minutes=number), "type": "DartifactLive" if rare else name,
                   "actor": "ingestor:dan", "run_id": f"orders-dan-{number}",
                   "dartifact_id": f"d{number // 100}" if rare else None, "operation": f"{number:016x}",
                   "payload": {"commit": f"{number:064x}", "rows": 10_000}}  # fmt: skip


def _dartifacts(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        runs = [f"orders-dan-{each}" for each in range(number * 100, number * 100 + 100)]
        yield {"created": number + 1, "dartifact_id": f"d{number}", "state": "superseded", "code_digest": "c",
               "main_commit": "m", "runs": runs, "created_at": START, "reasons": [],
               "passport": {"runs": runs, "marts": {}}}  # fmt: skip


def _chunks(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _time(page: Callable[[], Any]) -> float:
    started = time.perf_counter()
    page()
    return (time.perf_counter() - started) * 1000


def _write_one(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.append("LeftoverNoted", "person:bench", value=json.dumps([1, 2, 3]))


def _swap(ledger: Ledger) -> LivePointer:
    old = ledger.pointer()
    with ledger.write() as tx:
        return tx.production.swap_pointer(old, plans.freeze(old, "bench"), "PromotionsFrozen", "person:bench")


def describe_environment(ledger: Ledger) -> str:
    """Name the machine and the database."""
    with ledger._database.engine.connect() as connection:
        name = connection.dialect.name
        query = "SELECT sqlite_version()" if name == "sqlite" else "SHOW server_version"
        version = connection.execute(sa.text(query)).scalar()
    load = os.getloadavg()[0]
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, "
        f"Python {platform.python_version()}, SQLAlchemy {sa.__version__}, {name} {version}"
    )


if __name__ == "__main__":
    main()
