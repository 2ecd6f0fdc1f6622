"""Time the diff on hard cases: `uv run python -m tests.bench.bench_diff_hard [--rows 1000000] [--only shuffled,...]`.

Everybody in a process of its own: the floor (DuckDB reads both sides and hashes every row) and dartifact, CPU seconds
and peak memory, with the ratio of the two. Rows are those of `bench_diff.py`; wide cases have fewer, as named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

from dartifact.commands.diffs.files import diff_files
from dartifact.compare.diff.plan import Options
from tests.bench.bench_diff import BASE, CANDIDATE

_CHANGED = (
    "(amount + 1)::DECIMAL(12, 2) AS amount, quantity + 1 AS quantity, weight + 1 AS weight, url || 'x' AS url, "
    "note || 'y' AS note"
)
# name → (key, base, candidate); {a} and {b} are the tables of `bench_diff.py`
CASES = {
    "sorted, 1 % changed": ("id", "FROM '{a}'", "FROM '{b}'"),
    "shuffled": ("id", "FROM '{a}'", "FROM '{b}' ORDER BY hash(id)"),
    "5 % changed": (
        "id",
        "FROM '{a}'",
        "SELECT * REPLACE ((amount + CASE WHEN hash(id * 53) % 100 < 5 THEN 1 ELSE 0 END)::DECIMAL(12, 2) AS amount) "
        "FROM '{a}'",
    ),
    "all rows changed": ("id", "FROM '{a}'", f"SELECT * REPLACE ({_CHANGED}) FROM '{{a}}'"),
    "all keys differ": ("id", "FROM '{a}'", "SELECT * REPLACE (id + 1000000000 AS id) FROM '{a}'"),
    "every key twice": (
        "id",
        "SELECT * REPLACE (id // 2 AS id) FROM '{a}'",
        "SELECT * REPLACE (id // 2 AS id) FROM '{b}'",
    ),
    "no key exists": (
        "",
        "SELECT * EXCLUDE (id, reference) FROM '{a}' UNION ALL (SELECT * EXCLUDE (id, reference) FROM '{a}' LIMIT 9)",
        "SELECT * EXCLUDE (id, reference) FROM '{b}' UNION ALL (SELECT * EXCLUDE (id, reference) FROM '{b}' LIMIT 9)",
    ),
    "key of 3 columns": ("customer_id,reference,id", "FROM '{a}'", "FROM '{b}'"),
    "retyped key": ("id", "FROM '{a}'", "SELECT * REPLACE (id::INTEGER AS id) FROM '{b}'"),
    "50,000 x 500": ("id", "WIDE 500 50000 0", "WIDE 500 50000 1"),
    "200 x 2,000": ("id", "WIDE 2000 200 0", "WIDE 2000 200 1"),
}


def main() -> None:
    """Make each case, and time floor and dartifact on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--inner", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        run_inner(*arguments.inner)
        return
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, duckdb {duckdb.__version__}, {arguments.rows:,} rows")  # fmt: skip
    print(f"{'case':<22}{'floor':>7}{'dartifact':>11}{'ratio':>7}{'MB':>7}  added, removed, changed")
    with tempfile.TemporaryDirectory(prefix="bench-diff-") as folder:
        tables = {"a": f"{folder}/a.parquet", "b": f"{folder}/b.parquet"}
        write(BASE.format(rows=arguments.rows), tables["a"])
        write(CANDIDATE.format(rows=arguments.rows, base=tables["a"]), tables["b"])
        for name, (key, *queries) in CASES.items():
            if arguments.only and not any(each in name for each in arguments.only.split(",")):
                continue
            sides = [f"{folder}/base.parquet", f"{folder}/candidate.parquet"]
            for query, side in zip(queries, sides, strict=True):
                write(spell_wide(query) if query.startswith("WIDE") else query.format(**tables), side)
            floor, ours = (time_one(who, key, *sides, folder) for who in ("floor", "dartifact"))
            ratio = ours["cpu"] / floor["cpu"]
            print(
                f"{name:<22}{floor['cpu']:>7.2f}{ours['cpu']:>11.2f}{ratio:>7.1f}{ours['mb']:>7.0f}  {ours['counts']}"
            )


def spell_wide(case: str) -> str:
    """Return the query of a wide table; in the second of two, every column differs in one of a hundred rows."""
    _, columns, rows, changed = case.split()
    cells = (f"hash(i * {n + 3}) % 1000" for n in range(int(columns)))
    named = (
        f"CASE WHEN {changed} = 1 AND hash(i * 7) % 100 = 0 THEN 5000 ELSE {cell} END AS c{n}"
        for n, cell in enumerate(cells)
    )
    return f"SELECT i AS id, {', '.join(named)} FROM range({rows}) t(i)"


def write(query: str, place: str) -> None:
    """Write a query's rows to a Parquet file, in its order."""
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{place}' (FORMAT parquet, COMPRESSION zstd)")


def time_one(who: str, *arguments: str) -> dict[str, float]:
    """Run one of the two in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.bench_diff_hard", "--inner", who, *arguments]
    answer: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return answer


def run_inner(who: str, key: str, base: str, candidate: str, folder: str) -> None:
    """Do it and print CPU seconds, peak memory and counts."""
    before = count_cpu()
    counts: list[int] = []
    if who == "floor":
        for side in (base, candidate):
            duckdb.execute(f"SET threads = 2; SELECT bit_xor(hash(COLUMNS(*))) FROM '{side}'").fetchall()
    else:
        options = Options(key=tuple(name for name in key.split(",") if name))
        rows = diff_files(Path(folder) / "home", base, candidate, options).diff.report.rows
        counts = [rows.added, rows.removed, rows.changed]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": count_cpu() - before, "mb": peak, "counts": counts}))


def count_cpu() -> float:
    """Return the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
