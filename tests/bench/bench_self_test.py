"""What drift alone stops on tables of others: `uv run python tests/bench/bench_self_test.py FOLDER`.

Each file below the folder with enough rows (CSV, gzipped or not, and Parquet) is cut into batches in its order. No
contract and no rule is declared: the last batch is mutated, those before it are the history.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from dartifact.commands.gates.drift import compare_with_history
from dartifact.compare.drift.profiling import Scan, profile_batch
from dartifact.compare.mutations.self_test import SelfTest, Stop, run_trials
from dartifact.compare.mutations.work import Table
from dartifact.domain.checks import Outcome, VerdictKind, judge
from dartifact.domain.drift_rules import DriftRules
from dartifact.domain.profiles import Profile
from dartifact.domain.sql_text import literal, quote

BATCHES = 12
LEAST_ROWS = 1200
START = datetime(2021, 1, 1, tzinfo=UTC)
SYSTEM = "'run' AS _run_id, 1::BIGINT AS _seq, now() AS _extracted_at, false AS _deleted"


def look_at_table(path: Path, seed: int) -> SelfTest | None:
    """Test one file; None when it is too short, or its last batch is unusual as it is."""
    name = path.name.partition(".")[0]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        reader = "read_parquet" if path.suffix == ".parquet" else "read_csv"
        options = "" if path.suffix == ".parquet" else ", nullstr = ['', 'NA'], sample_size = -1"
        connection.execute(f"CREATE TABLE file AS FROM {reader}({literal(str(path))}{options})")
        [[rows]] = connection.execute("SELECT count(*) FROM file").fetchall()
        if rows < LEAST_ROWS:
            return None
        names = {row[0]: str(row[1]) for row in connection.execute("DESCRIBE file").fetchall()}
        key = find_key(connection, names) or "row_id"
        size = rows // BATCHES
        history: list[Profile] = []
        for number in range(BATCHES):
            lo, hi = START + number * timedelta(hours=1), START + (number + 1) * timedelta(hours=1)
            stamp = f"TIMESTAMPTZ {literal(lo.isoformat())} + to_seconds(3600.0 * (i - {number * size}) / {size})"
            made = "" if key in names else "i AS row_id, "
            connection.execute(
                f"CREATE OR REPLACE TABLE batch AS SELECT *, {made}{stamp} AS updated_at, "
                f"{SYSTEM}, i AS file_row_number FROM (SELECT *, row_number() OVER () - 1 AS i FROM file) "
                f"WHERE i >= {number * size} AND i < {(number + 1) * size}"
            )
            connection.execute("ALTER TABLE batch DROP COLUMN i")
            scan = Scan(connection, "batch", lo, hi)
            profile = profile_batch(scan, history)
            if number < BATCHES - 1:
                history.insert(0, profile)

        def ask(query: str) -> Stop | None:
            connection.execute(f"CREATE OR REPLACE VIEW mutated AS {query}")
            changed = Scan(connection, "mutated", lo, hi)
            results = compare_with_history(changed, name, profile_batch(changed, history), history, DriftRules(), name)
            if judge(results).kind is VerdictKind.PASS:
                return None
            first = next(each for each in results if each.outcome is Outcome.FAILED)
            return Stop("local", first.check, first.message)

        if stop := ask("SELECT * EXCLUDE (file_row_number) FROM batch"):
            print(f"{path.parent.name}/{path.name}: left out, its last batch is unusual as it is: {stop.message}")
            return None
        types = names | {key: names.get(key, "BIGINT"), "updated_at": "TIMESTAMP WITH TIME ZONE"}
        table = Table("batch", types, profile, (key,), "updated_at", scan.end)
        done = run_trials(table, ask, seed=seed, magnitude=1.0, progress=lambda _: None)
        return SelfTest(f"{path.parent.name}/{path.name}", "the last batch", size, *done)


def find_key(connection: duckdb.DuckDBPyConnection, names: Mapping[str, str]) -> str | None:
    """Return the first column of whole numbers that are all different."""
    for name in [each for each, kind in names.items() if "INT" in kind]:
        [[unique]] = connection.execute(f"SELECT count(DISTINCT {quote(name)}) = count(*) FROM file").fetchall()
        if unique:
            return name
    return None


def main() -> None:
    """Test every file and print a line for each, and what slipped through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, duckdb {duckdb.__version__}")  # fmt: skip
    files = [each for each in sorted(chosen.folder.rglob("*")) if each.name.endswith((".csv", ".csv.gz", ".parquet"))]
    for path in files:
        started = time.perf_counter()
        done = look_at_table(path, chosen.seed)
        if done is None:
            continue
        fitting, slipped = done.fitting, [each.name for each in done.slipped]
        alarms = [f"{each.name}: {each.message}" for each in done.harmless if each.stopped_by]
        print(f"{done.dataset}: batches of {done.rows:,} rows: {len(fitting) - len(slipped)} of {len(fitting)} faults "
              f"stopped ({done.catch_rate:.0%}), {done.false_alarms} false alarms of {len(done.harmless)} "
              f"({time.perf_counter() - started:.0f} s)")  # fmt: skip
        print(f"  let pass: {', '.join(slipped) or 'none'}")
        for each in alarms:
            print(f"  FALSE ALARM {each}")


if __name__ == "__main__":
    main()
