"""Time the local gate on a big batch: `uv run python tests/bench/bench_gate.py` (`--rows 1000000`, `--repeats 3`).

Profile and drift of a batch of orders, against one DuckDB scan that computes the same aggregates over the same file;
then the schema of the contract; Soda's own time apart. The history is of ten batches. Medians.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median

import duckdb

from dartifact.adapters.contracts.contracts import load_contract
from dartifact.adapters.contracts.schema import check_schema
from dartifact.adapters.contracts.soda import check_contract
from dartifact.commands.gates.drift import compare_with_history
from dartifact.compare.drift import profile_sql
from dartifact.compare.drift.profiling import Scan, profile_batch
from dartifact.domain.drift_rules import DriftRules
from dartifact.domain.profiles import Profile
from tests.conftest import PROJECT

START, WINDOW = datetime(2021, 1, 1, tzinfo=UTC), timedelta(days=1)
_BATCH = """
SELECT ({number} * 10000000 + i)::BIGINT AS order_id, 'C' || lpad((hash(i, 1) % 5000)::VARCHAR, 6, '0') AS customer_id,
  ['placed', 'paid', 'shipped', 'returned', 'cancelled'][1 + (hash(i, {number}) % 5)::INT] AS status,
  (exp(3 + 4 * (hash(i, {number}, 3) % 10000) / 10000.0))::DECIMAL(12, 2) AS amount,
  ['EUR', 'USD', 'GBP'][1 + (hash(i, 4) % 3)::INT] AS currency,
  TIMESTAMPTZ '{lo}' + to_seconds(86400.0 * i / {rows} - (hash(i, 5) % 3000)) AS ordered_at,
  TIMESTAMPTZ '{lo}' + to_seconds(86400.0 * (i + 1) / {rows}) AS updated_at,
  'run' AS _run_id, 1::BIGINT AS _seq, now() AS _extracted_at, false AS _deleted
FROM range({rows}) r(i)"""


def main() -> None:
    """Make the batches, time each part, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, duckdb {duckdb.__version__}")  # fmt: skip
    contract = load_contract(PROJECT / "checks" / "orders.yml")
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as folder, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET threads = 2")
        history: list[Profile] = []
        for number in range(11):
            rows = chosen.rows if number == 10 else max(1000, chosen.rows // 10)
            lo = START + number * WINDOW
            query = _BATCH.format(number=number, rows=rows, lo=lo.isoformat())
            connection.execute(f"COPY ({query}) TO '{folder}/batch.parquet' (FORMAT parquet, COMPRESSION zstd)")
            connection.execute(
                f"CREATE OR REPLACE VIEW batch AS FROM read_parquet('{folder}/batch.parquet', file_row_number = true)"
            )
            scan = Scan(connection, "batch", lo, lo + WINDOW)
            if number < 10:
                history.insert(0, profile_batch(scan, history))
        profile = profile_batch(scan, history)
        one_scan = profile_sql.profile(profile.layout, scan.live, scan.end, scan.seconds)

        def look() -> None:
            compare_with_history(scan, "orders", profile_batch(scan, history), history, DriftRules(), "dan")

        times = {
            "one scan with the same aggregates": _time(lambda: connection.execute(one_scan).fetchall(), chosen.repeats),
            "profile and drift": _time(look, chosen.repeats),
            "schema of the contract": _time(lambda: check_schema(connection, contract, "batch"), chosen.repeats),
            "contract, with Soda's own time": _time(
                lambda: check_contract(connection, contract, "batch"), chosen.repeats
            ),
        }
    for name, seconds in times.items():
        print(f"{name:<36}{seconds:>8.2f} s")
    ours = times["profile and drift"] + times["schema of the contract"]
    print(
        f"{chosen.rows:,} rows: without Soda {ours / times['one scan with the same aggregates']:.2f} times the one scan"
    )


def _time(act: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


if __name__ == "__main__":
    main()
