"""Time the diff on two big tables, against the floor and its peers: `uv run python tests/bench/bench_diff.py`.

`--rows N` (1000000), `--only floor,dartifact,...`, `--shuffled` (the candidate in no order of the key). Twelve columns,
1 % of the rows changed. The floor is DuckDB reading both sides and hashing every row. Everybody runs in a process of
their own, peers by their documented fast path with `uv run --with PACKAGE`; one that does not install is told and left
out. A time is told only for the right counts. Then a run's rows against a big `main`, and a stored diff's first page.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from dartifact.commands.diffs.cells import read_page
from dartifact.commands.diffs.files import diff_files
from dartifact.compare.current import select_current
from dartifact.compare.diff.plan import Options, Side
from dartifact.compare.diff.table import bound, compare

COLUMNS = ("customer_id", "status", "amount", "quantity", "weight", "updated_at", "ordered_on", "gift", "note", "url",
           "reference")  # fmt: skip
BASE = """
SELECT i::BIGINT AS id, 'C' || lpad((hash(i * 7) % 500000)::VARCHAR, 6, '0') AS customer_id,
  ['placed', 'paid', 'shipped', 'returned', 'cancelled'][1 + (hash(i * 11) % 5)::INT] AS status,
  ((hash(i * 13) % 10000000) / 100)::DECIMAL(12, 2) AS amount, (hash(i * 17) % 100)::INTEGER AS quantity,
  (hash(i * 19) % 1000000) / 7.0::DOUBLE AS weight,
  TIMESTAMPTZ '2021-01-01 00:00:00+00' + INTERVAL (hash(i * 23) % 31536000) SECOND AS updated_at,
  DATE '2020-01-01' + (hash(i * 29) % 700)::INT AS ordered_on, hash(i * 31) % 2 = 0 AS gift,
  CASE WHEN hash(i * 37) % 10 <> 0 THEN 'note ' || (hash(i * 41) % 1000000)::VARCHAR END AS note,
  'https://example.com/p/' || (hash(i * 43) % 100000)::VARCHAR AS url, (hash(i * 47) % 1000000000)::BIGINT AS reference
FROM range({rows}) r(i)"""
CANDIDATE = """
SELECT * REPLACE (CASE WHEN hash(id * 53) % 100 = 0 THEN (amount + 1)::DECIMAL(12, 2) ELSE amount END AS amount)
FROM '{base}' WHERE hash(id * 59) % 1000 <> 0
UNION ALL SELECT id + {rows} AS id, * EXCLUDE (id) FROM '{base}' WHERE hash(id * 61) % 1000 = 0"""
_COUNT = """
SELECT count(*) FILTER (a.id IS NULL), count(*) FILTER (b.id IS NULL), count(*) FILTER (a.amount <> b.amount)
FROM '{a}' a FULL JOIN '{b}' b USING (id)"""

_PEERS = {
    "datacompy (polars)": (
        ["datacompy", "polars"],
        "import polars as pl, datacompy\n"
        "a, b = pl.read_parquet(A), pl.read_parquet(B)\n"
        "c = datacompy.PolarsCompare(a, b, join_columns=['id'])\n"
        "changed = len(c.intersect_rows) - c.count_matching_rows()\n"
        "print([c.df2_unq_rows.height, c.df1_unq_rows.height, changed])",
    ),
    "diffly": (
        ["diffly", "polars"],
        "import polars as pl, diffly\n"
        "c = diffly.compare_frames(pl.scan_parquet(A), pl.scan_parquet(B), primary_key='id')\n"
        "print([c.num_rows_right_only(), c.num_rows_left_only(), c.num_rows_joined_unequal()])",
    ),
    "reladiff": (
        ["reladiff[duckdb]"],
        "import duckdb, reladiff\n"
        "con = duckdb.connect(DB)\n"
        "con.execute(f\"CREATE TABLE a AS FROM '{A}'\"); con.execute(f\"CREATE TABLE b AS FROM '{B}'\"); con.close()\n"
        "cols = tuple(COLUMNS)\n"
        "t = [reladiff.connect_to_table(f'duckdb://main:@{DB}', name, 'id', extra_columns=cols) for name in 'ab']\n"
        "seen = {'+': set(), '-': set()}\n"
        "for sign, row in reladiff.diff_tables(*t): seen[sign].add(row[0])\n"
        "plus, minus = seen['+'], seen['-']\n"
        "print([len(plus - minus), len(minus - plus), len(plus & minus)])",
    ),
}


def main() -> None:
    """Make the tables, count naively, time everybody in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--inner", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inner:
        _run_inner(*arguments.inner)
        return
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, duckdb {importlib.metadata.version('duckdb')}")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bench-diff-") as folder:
        a, b = f"{folder}/a.parquet", f"{folder}/b.parquet"
        # In another process: the memory it takes would count as that of those it starts.
        make = [sys.executable, __file__, "--inner", f"make {arguments.rows} {arguments.shuffled}", a, b, folder]
        expected = json.loads(subprocess.run(make, capture_output=True, text=True, check=True).stdout)
        print(f"{arguments.rows:,} rows x 12 columns: added, removed, changed = {expected}\n")
        print(f"{'who':<34}{'wall s':>8}{'cpu s':>8}{'peak MB':>9}  same counts")
        for name in ("floor", "dartifact", "first page, stored", "run of 10k rows against main", *_PEERS):
            if not arguments.only or any(each in name for each in arguments.only.split(",")):
                _time(name, a, b, folder, expected)
    print("\npeers' commands")
    for name, (packages, code) in _PEERS.items():
        print(f"{name}: uv run --no-project {_with(packages)} python -c\n    " + code.replace("\n", "\n    "))


def _make(a: str, b: str, rows: int, *, shuffled: bool) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({BASE.format(rows=rows)}) TO '{a}' (FORMAT parquet, COMPRESSION zstd)")
        order = " ORDER BY hash(id)" if shuffled else ""
        query = f"SELECT * FROM ({CANDIDATE.format(rows=rows, base=a)}){order}"
        connection.execute(f"COPY ({query}) TO '{b}' (FORMAT parquet, COMPRESSION zstd)")
        print(json.dumps(connection.execute(_COUNT.format(a=a, b=b)).fetchone()))


def _time(name: str, a: str, b: str, folder: str, expected: list[int]) -> None:
    if name in _PEERS:
        packages, code = _PEERS[name]
        values = f"A, B, DB, COLUMNS = {a!r}, {b!r}, {folder + '/peer.db'!r}, {COLUMNS!r}\n"
        measure = (
            "\nimport resource, json\nu = resource.getrusage(resource.RUSAGE_SELF)\n"
            "print(json.dumps([time.perf_counter() - T, u.ru_utime + u.ru_stime, u.ru_maxrss / 1024]))"
        )
        start = "import time\nT = time.perf_counter()\n"
        names = ", ".join(f"{each.partition('[')[0]!r}" for each in packages)
        tell = f"import importlib.metadata as m, sys\nfor n in ({names},): print(n, m.version(n), file=sys.stderr)\n"
        command = ["uv", "run", "--no-project", *_with(packages).split(), "python", "-c",
                   tell + values + start + code + measure]  # fmt: skip
    else:
        command = [sys.executable, __file__, "--inner", name, a, b, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name:<34}left out: {done.stderr.strip().splitlines()[-1][:150]}", flush=True)
        return
    *_, answer, measured = done.stdout.strip().splitlines()
    wall, cpu, peak = json.loads(measured)
    counts = json.loads(answer)
    asked = name in ("dartifact", *_PEERS)
    if asked and counts != expected:
        print(f"{name:<34}left out: it counts {counts}", flush=True)
        return
    versions = ", ".join(line for line in done.stderr.splitlines() if line and len(line) < 40 and name in _PEERS)
    print(f"{name:<34}{wall:>8.2f}{cpu:>8.2f}{peak:>9.0f}  {'yes' if asked else answer[:60]}  {versions}", flush=True)


def _with(packages: list[str]) -> str:
    return " ".join(f"--with {each}" for each in packages)


def _run_inner(name: str, a: str, b: str, folder: str) -> None:
    if name.startswith("make"):
        _, rows, shuffled = name.split()
        _make(a, b, int(rows), shuffled=shuffled == "True")
        return
    home = Path(folder) / "home"
    home.mkdir(exist_ok=True)
    prepared: Any = None
    if name == "first page, stored":
        prepared = diff_files(home, a, b, Options(key=("id",)))
    if name.startswith("run"):
        prepared = _prepare_run(a, b, Path(folder))
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    if name == "floor":
        answer: Any = [duckdb.execute(f"SET threads = 2; SELECT bit_xor(hash(id, {', '.join(COLUMNS)})) FROM '{each}'")
                       .fetchall()[0][0] for each in (a, b)]  # fmt: skip
    elif name == "dartifact":
        counts = diff_files(home, a, b, Options(key=("id",))).diff.report.rows
        answer = [counts.added, counts.removed, counts.changed]
    elif name == "first page, stored":
        answer = [len(read_page(prepared, page=0, size=200))]
    else:
        answer = _diff_run(prepared, a, Path(folder))
    used = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.perf_counter() - started
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps(answer))
    print(json.dumps([wall, cpu, used.ru_maxrss / 1024]))


def _prepare_run(a: str, b: str, folder: Path) -> str:
    """Write 10,000 rows spread over the whole key as a run would bring them."""
    system = "'run' AS _run_id, 2::BIGINT AS _seq, now() AS _extracted_at, false AS _deleted"
    run = folder / "run.parquet"
    duckdb.execute(f"COPY (SELECT *, {system} FROM '{b}' USING SAMPLE 10000 ROWS (reservoir, 1)) TO '{run}'")
    return str(run)


def _diff_run(run: str, main: str, folder: Path) -> list[int]:
    """Compare as `dartifact.commands.diffs.run` does for a run, without the lake: `main` is one big run's file."""
    system = "'main' AS _run_id, 1::BIGINT AS _seq, now() AS _extracted_at, false AS _deleted"
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2; SET TimeZone = 'UTC'")
        bound(connection, folder / "spill")
        connection.execute(
            f"CREATE VIEW main_rows AS SELECT *, {system} FROM read_parquet('{main}', file_row_number = true)"
        )
        connection.execute(f"CREATE VIEW run_rows AS SELECT * FROM read_parquet('{run}', file_row_number = true)")
        connection.execute("CREATE TABLE touched AS SELECT DISTINCT id FROM run_rows")
        connection.execute("CREATE TABLE hits AS SELECT r.* FROM main_rows r SEMI JOIN touched t "
                           "ON r.id = t.id")  # fmt: skip
        connection.execute("CREATE VIEW both_rows AS FROM hits UNION ALL BY NAME FROM run_rows")
        for side, relation in (("base", "hits"), ("candidate", "both_rows")):
            current = select_current(relation, ("id",), "updated_at")
            hidden = "_run_id, _seq, _extracted_at, _deleted"
            connection.execute(f"CREATE TABLE {side} AS SELECT * EXCLUDE ({hidden}) FROM ({current})")
        sides = (Side("base", "main"), Side("candidate", "run"))
        rows = compare(connection, *sides, Options(key=("id",)), folder / "run_rows.parquet").report.rows
    return [rows.added, rows.removed, rows.changed, rows.unchanged]


if __name__ == "__main__":
    main()
