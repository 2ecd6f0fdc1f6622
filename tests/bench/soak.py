"""Soak `dartifact up`: minutes of scheduled runs with each part killed once; then the audit and the latencies.

    uv run python -m tests.bench.soak --minutes 20 --every 20

Prints what grew, what is wrong (nothing, or the exit code is 1) and the seconds from a source to production by station.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain.runs import Phase
from dartifact.local.guard import find_marked
from dartifact.local.prefect_parts import flow_run_of
from dartifact.wiring import open_stack
from tests.support.audit import find_faults
from tests.support.machines import Up, run_cli, start_up

PARTS = ("worker", "Prefect server", "lakeFS")
STATIONS = (
    ("extract", "WindowClaimed", "BatchCommitted"),
    ("local gate", "BatchCommitted", "MergeRequested"),
    ("wait + integrate", "MergeRequested", "RunMerged"),
    ("wait + stage", "RunMerged", "green"),
    ("wait + promote", "green", "live"),
    ("source to production", "WindowClaimed", "live"),
)


def main() -> int:
    """Soak, audit, report; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--calm", action="store_true", help="kill nothing")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()}")
    up = start_up(folder / "home", every=options.every)
    kills = [] if options.calm else [*PARTS, "launcher"]
    step = options.minutes * 60 / (len(kills) + 1)
    counts = [_count(up)]
    for part in [*kills, None]:
        _sleep(step / 2, up)
        counts.append(_count(up))
        _sleep(step / 2, up)
        if part == "launcher":
            print(f"{time.strftime('%H:%M:%S')} kill -9 launcher", flush=True)
            up.kill()
            up = start_up(up.home, every=options.every)
        elif part:
            print(f"{time.strftime('%H:%M:%S')} kill -9 {part}", flush=True)
            up.kill_part(part)
    for each in up.prefect.deployments().values():
        if "ingest" in each["tags"]:
            up.prefect.pause(each["id"], paused=True)
    with up.ledger() as ledger:
        up.wait_for(lambda: _is_at_rest(ledger), 240)
        latencies = measure(ledger)
    stuck = up.stop()
    # The company lives on with every call; the customers come last, or a new order would wait for its customer.
    for source, ingestor in (("orders", "dan"), ("orders", "dave"), ("customers", "dana")):
        run_cli(up.home, "ingest", source, "--ingestor", ingestor)
    for verb in ("integrate", "stage", "promote"):
        run_cli(up.home, verb)
    with open_stack(up.settings, print) as stack:
        faults = find_faults(stack, up.home / "demo" / "company.json", killed=len(kills))
        phases = {phase.value: count for phase, count in stack.ledger.count_runs().items()}
    print(f"runs: {phases}; up ended with {stuck}; processes left: {len(find_marked(up.home))}")
    print("processes and open files of the machines, flow runs left out:", *counts, sep="\n  ")
    print(*latencies, sep="\n")
    print("wrong:", *(faults or ["nothing"]), sep="\n  ")
    if not faults:
        shutil.rmtree(folder)
    else:
        print(f"kept: {folder}")
    return 1 if faults or stuck else 0


def measure(ledger: Ledger) -> list[str]:
    """Return p50 and p90 of the seconds that runs spent at each station, a line each."""
    moments: dict[str, dict[str, float]] = {}
    for event in ledger.events(most=1_000_000):
        named = {"DartifactGreen": "green", "DartifactLive": "live"}.get(event.type)
        if named and event.dartifact_id:
            for run_id in ledger.dartifact(event.dartifact_id).runs:
                moments.setdefault(run_id, {}).setdefault(named, event.at.timestamp())
        elif event.run_id:
            moments.setdefault(event.run_id, {}).setdefault(event.type, event.at.timestamp())
    lines = []
    for station, begin, end in STATIONS:
        spent = sorted(each[end] - each[begin] for each in moments.values() if begin in each and end in each)
        lines.append(f"{station:22} p50 {_share(spent, 0.5):6.1f} s   p90 {_share(spent, 0.9):6.1f} s   n {len(spent)}")
    return lines


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.floor(share * len(ordered)))] if ordered else math.nan


def _is_at_rest(ledger: Ledger) -> bool:
    waits = (Phase.EXTRACTING, Phase.CHECKING, Phase.QUEUED, Phase.MERGED)
    return not ledger.runs(phases=waits, most=1) and not ledger.open_intents()


def _sleep(seconds: float, up: Up) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert up.process.poll() is None, up.printed()
        time.sleep(1)


def _count(up: Up) -> str:
    """Count what stays: flow runs come and go."""
    lasting = [each for each in find_marked(up.home) if flow_run_of(each) is None]
    lasting.append(psutil.Process(up.process.pid))
    files = {each.name(): each.num_fds() for each in sorted(lasting, key=lambda each: each.pid)}
    return f"{time.strftime('%H:%M:%S')} {len(lasting)} processes, {sum(files.values())} open files"


if __name__ == "__main__":
    sys.exit(main())
