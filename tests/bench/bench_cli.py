"""Time the start of the command line: `python tests/bench/bench_cli.py [--home HOME] [--rounds N]`.

HOME is one in which the demo was played (`DARTIFACT_HOME=… dartifact demo --once`); default a new, empty one, in which
`resolve` says that nothing is live. `status` starts and stops the lake, and is timed a second time with one running.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dartifact.local.lakefs_server import running_lakefs

PROJECT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Time each verb and print the medians with the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-cli-") as folder:
        home = arguments.home or Path(folder)
        load = os.getloadavg()[0]
        print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, "
              f"Python {platform.python_version()}, median of {arguments.rounds}\n")  # fmt: skip
        print(f"{'command':<40}{'median s':>10}{'worst s':>10}{'exit':>6}")
        for verb in (("--help",), ("resolve",), ("runs",), ("status",)):
            _print_times(" ".join(verb), verb, home, arguments.rounds)
        with running_lakefs(home, lambda _: None):
            for verb in (("status",), ("integrate",), ("promote",), ("doctor",)):
                _print_times(f"{verb[0]}, lake running", verb, home, arguments.rounds)


def _print_times(name: str, verb: Sequence[str], home: Path, rounds: int) -> None:
    environment = os.environ | {"DARTIFACT_HOME": str(home)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    times, code = [], 0
    for _ in range(rounds + 1):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "dartifact", *verb], cwd=PROJECT, env=environment, capture_output=True, check=False
        )
        times.append(time.perf_counter() - started)
        code = done.returncode
    del times[0]  # it may have compiled and may have been the first to touch the files
    print(f"{name:<40}{statistics.median(times):>10.2f}{max(times):>10.2f}{code:>6}", flush=True)


if __name__ == "__main__":
    main()
