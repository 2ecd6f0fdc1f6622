"""Time the browser UI: `uv run python tests/bench/bench_ui.py` (`--rows 1000000 --runs 1000 --repeats 10`).

A real Chromium on a real lakeFS: 1,000 runs in the ledger, a `main` of a million orders and a failed run of as many.
From the request of a page until what it is about is visible; medians, warm (the first load of each is not counted).
The rollback is from the click on the confirmation until the page says it is done; each needs a promotion before.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

import duckdb
import streamlit
from playwright.sync_api import Page, expect

from dartifact.commands.ingest.ingest import check_run
from dartifact.commands.production.promote import promote
from dartifact.commands.production.under_way import unfreeze
from dartifact.commands.queue.integrate import integrate
from dartifact.commands.stack import Stack
from dartifact.commands.staging.stage import stage
from dartifact.domain.runs import Phase, Run
from dartifact.settings import read_settings
from dartifact.wiring import open_stack
from tests.support.browser import PATIENCE, running_browser, running_ui

WINDOW = timedelta(minutes=5)
_SYSTEM = "'{run}' AS _run_id, {seq}::BIGINT AS _seq, now() AS _extracted_at, false AS _deleted"
_ORDERS = (
    """
SELECT (i + 1)::BIGINT AS order_id, 'C' || lpad((hash(i, 1) % 5000)::VARCHAR, 6, '0') AS customer_id,
  CASE WHEN {bad} AND i % 100000 = 7 THEN 'lost'
    ELSE ['placed', 'paid', 'shipped'][1 + (hash(i, CASE WHEN i % 100 = 0 THEN {seq} ELSE 0 END) % 3)::INT]
  END AS status,
  (1 + (hash(i, 3) % 100000) / 100.0)::DECIMAL(12, 2) AS amount, 'EUR' AS currency,
  TIMESTAMPTZ '{lo}' AS ordered_at, TIMESTAMPTZ '{hi}' AS updated_at, """
    + _SYSTEM
    + " FROM range({rows}) r(i)"
)
_CUSTOMERS = (
    """
SELECT 'C' || lpad(i::VARCHAR, 6, '0') AS customer_id, 'Customer ' || i AS name, 'c' || i || '@example.com' AS email,
  'consumer' AS segment, 'DE' AS country, TIMESTAMPTZ '{hi}' AS updated_at, """
    + _SYSTEM
    + " FROM range({rows}) r(i)"
)


def main() -> None:
    """Make the data, start the UI, time each page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--rollbacks", type=int, default=3)
    chosen = parser.parse_args()
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, Streamlit {streamlit.__version__}")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bench-ui-") as folder:
        os.environ.update(
            {"DARTIFACT_HOME": f"{folder}/home", "DARTIFACT_SOAK_SECONDS": "0", "DARTIFACT_WEIGHTS": "[100]"}
        )
        with open_stack(read_settings(), lambda _: None) as stack:
            _bring(stack, "customers", 5000)
            _bring(stack, "orders", chosen.rows)
            bad = _bring(stack, "orders", chosen.rows, bad=True)
            assert bad.phase is Phase.FAILED, bad.reasons
            _fill(stack, chosen.runs)
            with running_ui(Path(folder) / "ui.log") as url, running_browser() as browser:
                page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
                expect.set_options(timeout=4 * PATIENCE)
                grid = page.get_by_test_id("stDataFrame").last

                def see_checks() -> None:
                    expect(page.get_by_text("Checks ·").or_(page.get_by_text("· 1 failed")).first).to_be_visible()
                    expect(grid).to_be_visible()

                looks: dict[str, tuple[str, Callable[[], None]]] = {
                    "Now": ("", lambda: expect(page.get_by_text("Recent runs by ingestor")).to_be_visible()),
                    "Runs": ("runs", lambda: expect(grid).to_be_visible()),
                    "Run with its checks": (f"run?run={bad.run_id}", see_checks),
                    "Run with the first page of cells": (
                        f"run?run={bad.run_id}",
                        lambda: expect(page.get_by_text("old → new in changed cells")).to_be_visible(),
                    ),
                }
                for name, (address, wait) in looks.items():
                    times = [_time(page, f"{url}/{address}", wait) for _ in range(chosen.repeats + 1)]
                    print(f"{name:<36}{median(times[1:]):>7.2f} s   first {times[0]:.2f} s")
                clicks = [_roll_back(stack, page, url, number) for number in range(chosen.rollbacks)]
                print(f"{'rollback, click to confirmed':<36}{median(clicks):>7.2f} s   of {len(clicks)}")


def _time(page: Page, url: str, wait: Callable[[], None]) -> float:
    page.goto("about:blank")
    started = time.perf_counter()
    page.goto(url)
    wait()
    return time.perf_counter() - started


def _roll_back(stack: Stack, page: Page, url: str, number: int) -> float:
    for _ in range(2):
        unfreeze(stack, reason="bench", actor="bench")
        _bring(stack, "customers", 10 + number)
        stage(stack, actor="bench")
        promote(stack, actor="bench")
    page.goto(f"{url}/production?to=last")
    button = page.get_by_role("button", name="Roll back to")
    expect(button).to_be_visible()
    started = time.perf_counter()
    button.click()
    expect(page.get_by_text("is live again")).to_be_visible()
    return time.perf_counter() - started


def _bring(stack: Stack, dataset: str, rows: int, *, bad: bool = False) -> Run:
    """Bring a batch of generated rows through the gates; it is in `main` then, or failed."""
    source, ingestor = stack.source(dataset), stack.source(dataset).ingestors[0].name
    last = stack.ledger.last_claim(dataset, 0)
    lo = last or source.start
    with stack.ledger.write() as tx:
        run = tx.windows.claim(source, ingestor, lo, lo + WINDOW, after=last, actor="bench")
    query = (_CUSTOMERS if dataset == "customers" else _ORDERS).format(
        run=run.run_id, seq=run.window.seq, rows=rows, lo=lo.isoformat(), hi=run.window.hi.isoformat(), bad=bad
    )
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({query}) TO '{folder}/part.parquet' (FORMAT parquet, COMPRESSION zstd)")
        stack.lake.create_branch(run.branch, stack.lake.head("main").commit_id)
        stack.lake.upload(run.branch, f"{run.folder}part-0.parquet", Path(folder) / "part.parquet")
    commit = stack.lake.commit(run.branch, "bench", {"run": run.run_id}).commit_id
    with stack.ledger.write() as tx:
        changes = {"commit_id": commit, "rows": rows}
        run = tx.runs.move(run.run_id, Phase.CHECKING, "BatchCommitted", "bench", changes=changes)
    run = check_run(stack, run, "bench")
    assert bad or run.phase is Phase.QUEUED, run.reasons
    if run.phase is Phase.QUEUED:
        done = integrate(stack, actor="bench")
        assert run.run_id in done.merged, done
    return stack.ledger.run(run.run_id)


def _fill(stack: Stack, runs: int) -> None:
    """Add empty runs of the second ingestor of orders, so that there are `runs` in all."""
    source = stack.source("orders")
    lo = last = None
    with stack.ledger.write() as tx:
        for _ in range(runs - len(stack.ledger.runs())):
            lo = last or source.start
            run = tx.windows.claim(source, source.ingestors[1].name, lo, lo + WINDOW, after=last, actor="bench")
            tx.runs.move(run.run_id, Phase.EMPTY, "RunEmpty", "bench")
            last = run.window.hi


if __name__ == "__main__":
    main()
