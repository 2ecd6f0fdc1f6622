"""Keep a project and a home as the installed version writes them: `python tests/e2e/homes/keep_home.py`.

Run before a release; the archive stays, and every later version has to work with it. It holds the project of
`tests.support.heights` with three days that are live: the ledger, the lake with the keys that were made for it, and
nothing of the machine it was made on.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from tests.support.heights import serving_heights, write_heights  # noqa: E402

# made anew where it is used, and full of paths
_LEFT_OUT = ("dbt", "config.yaml", "cache", "server.log", "server.log.old", "__pycache__")


def keep_home(archive: Path) -> None:
    """Play three days in an empty folder and pack it."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "weather"
        _run(Path(folder), "init", "weather")
        write_heights(project)
        with serving_heights() as url:
            urls = json.dumps({"production": url})
            _run(project, "ingest", "production", DARTIFACT_SOURCE_URLS=urls)
        for verb in ("integrate", "stage", "promote"):
            _run(project, verb)
        with sqlite3.connect(project / ".dartifact" / "ledger.db") as ledger:
            ledger.execute("UPDATE events SET place = 'command line on desk'")
        ledger.close()
        with tarfile.open(archive, "w:xz") as tar:
            tar.add(project, "weather", filter=_keep)
    print(f"{archive.name}: {archive.stat().st_size:,} bytes")


def _run(where: Path, *arguments: str, **environment: str) -> None:
    env = {**os.environ, "DARTIFACT_ACTOR": "ann", **environment}
    subprocess.run(["dartifact", *arguments], cwd=where, env=env, check=True)


def _keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    path = Path(member.name)
    if (".dartifact" in path.parts and path.name in _LEFT_OUT) or path.name == "__pycache__":
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    keep_home(HERE / f"{version('dartifact')}.tar.xz")
