"""Count the false alarms of drift on clean days of the demo: `uv run python tests/bench/bench_clean_days.py`.

Nothing is wrong with any of these batches. Each is profiled and compared with the 30 before it, as the local gate does,
without lake and ledger: (a) days, one batch a day and ingestor, (b) batches of five minutes, (c) days, and after each
fifth of them half an hour, (d) five minutes, and after each sixth of them an hour, as after an outage.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from dartifact.adapters.contracts.contracts import load_contract
from dartifact.adapters.contracts.drift_file import drift_path, load_drift_rules
from dartifact.adapters.tables.batch_files import add_system_columns
from dartifact.adapters.tables.batches import build_batch
from dartifact.compare.current import select_current
from dartifact.compare.drift.drift import check_drift
from dartifact.compare.drift.profiling import Scan, add_known, profile_batch
from dartifact.demo.company import Company
from dartifact.domain.checks import Outcome
from dartifact.domain.profiles import Profile
from dartifact.project import load_source
from tests.conftest import PROJECT

START = datetime(2021, 1, 1, tzinfo=UTC)


def simulate(
    dataset: str, lengths: Sequence[timedelta], batches: int, orders: int, seed: int
) -> Iterator[tuple[int, str, str]]:
    """Yield (batch, outcome, message) of everything that is not as usual."""
    source, contract = load_source(dataset, PROJECT).SOURCE, load_contract(PROJECT / "checks" / f"{dataset}.yml")
    rules = load_drift_rules(drift_path(PROJECT / "checks", dataset), [name for name, _ in contract.columns])
    company = Company(seed, START, orders, 500)
    history: deque[Profile] = deque(maxlen=rules.history)
    tables: deque[pa.Table] = deque(maxlen=5)
    for number in range(batches):
        lo = company.now
        company.advance(lengths[number % len(lengths)] // timedelta(minutes=5))
        rows = company.changes(dataset, lo, company.now)
        table = add_system_columns(
            build_batch(rows, contract.columns, zone=None), run_id=str(number), seq=number, extracted_at=company.now
        )
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("batch", table)
            scan = Scan(connection, "batch", lo, company.now)
            profile = profile_batch(scan, list(history))
            if tables:
                records = pa.concat_tables(tables).append_column(
                    "file_row_number", pa.array(range(sum(map(len, tables))))
                )
                connection.register("records", records)
                current = select_current("records", source.key, source.updated_at)
                connection.execute(f"CREATE TEMP TABLE before AS {current}")
                profile = add_known(scan, profile, source, "before")
            results = check_drift(dataset, profile, list(history), rules, scan.end, source=dataset)
        for each in results:
            if each.outcome not in (Outcome.PASSED, Outcome.SKIPPED):
                yield number, str(each.outcome), each.message
        history.appendleft(profile)
        tables.append(table)


def main() -> None:
    """Run both simulations and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=500)
    parser.add_argument("--batches", type=int, default=500, help="of five minutes")
    parser.add_argument("--mixed", type=int, default=200, help="batches of a day or half an hour")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, duckdb {duckdb.__version__}")  # fmt: skip
    plans = (
        ([timedelta(days=1)], chosen.days, 4, "days"),
        ([timedelta(minutes=5)], chosen.batches, 120, "5-minute batches"),
        ([timedelta(days=1)] * 5 + [timedelta(minutes=30)], chosen.mixed, 30, "batches of a day or half an hour"),
        ([timedelta(minutes=5)] * 6 + [timedelta(hours=1)], chosen.mixed, 200, "batches of five minutes or an hour"),
    )
    for lengths, batches, orders, words in plans:
        for dataset in ("orders", "customers"):
            started, outcomes = time.perf_counter(), Counter[str]()
            for number, outcome, message in simulate(dataset, lengths, batches, orders, chosen.seed):
                outcomes[outcome] += 1
                if outcome == "failed" or chosen.verbose:
                    print(f"  {words} {number}: {outcome}: {message}")
            seconds = time.perf_counter() - started
            found = f"{outcomes['failed']} false alarms, {outcomes['warned']} warnings"
            print(f"{dataset}: {batches} clean {words}: {found} ({seconds:.0f} s)")


if __name__ == "__main__":
    main()
