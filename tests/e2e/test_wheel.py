"""The wheel as a user has it: installed into an empty environment, a project in a folder of its own.

The environment has the engine's dependencies by a path file, and nothing of the checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import threading
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.conftest import PROJECT

pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.timeout(900)]

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME")
OWN_TEST = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
FLOW = '''"""Heights of the sea, as a station tells them."""

from datetime import UTC, datetime

import dartifact as da

SOURCE = da.Source(
    name="production",
    key=("Station Nr", "größe"),
    ingestors=(da.Ingestor("buoy"),),
    updated_at="geändert",
    start=datetime(2021, 1, 1, tzinfo=UTC),
)


def extract(access: da.SourceAccess) -> da.RestSource:
    return da.RestSource(access.url, "/heights", paging=da.LinkPaging(rows="rows", link="next"))


ingest = da.ingest_flow(SOURCE, extract)
'''
CONTRACT = """dataset: lake/main/production
columns:
  - name: Station Nr
    data_type: varchar
    checks:
      - missing:
  - name: größe
    data_type: date
    checks:
      - missing:
  - name: cm
    data_type: bigint
    checks:
      - invalid:
          valid_min: 0
          valid_max: 2000
  - name: geändert
    data_type: timestamp with time zone
    checks:
      - missing:
"""
DEPLOYMENT = """
  - name: ingest-production-buoy
    entrypoint: flows/production.py:ingest
    parameters: { ingestor: buoy }
    tags: [ingest]
    schedules: *ingests
    concurrency_limit: *alone
    work_pool: *ingestors
"""
MODEL = """select "Station Nr" as station, max(cm) as highest from {{ source('raw', 'production') }} group by 1
"""
MODEL_YML = """sources:
  - name: raw
    schema: raw
    tables:
      - name: production
models:
  - name: tides
    columns:
      - name: station
        data_tests: [unique, not_null]
"""
ROWS = [
    {"Station Nr": station, "größe": f"2021-01-0{day}", "cm": 100 * day + at, "geändert": f"2021-01-0{day}T12:00:00Z"}
    for day in (1, 2, 3)
    for at, station in enumerate(("A 1", "B 2", "Ç 3"))
]


class Environment:
    """An empty virtual environment with the wheel in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))

    def run(self, where: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name in KEPT} | environment
        env["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{env['PATH']}"
        return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)

    def must(self, where: Path, *command: str, **environment: str) -> str:
        done = self.run(where, *command, **environment)
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Build the wheel and install it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    environment = Environment(folder / "venv")
    environment.must(folder, "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (environment.site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


@contextmanager
def serving_heights() -> Iterator[str]:
    """Serve the rows of a small API, with its clock."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            lo, hi = (datetime.fromisoformat(asked.get(f"updated_{end}", "9999-01-01")) for end in ("after", "until"))
            if url.path == "/clock":
                answer: dict[str, object] = {"now": "2021-01-04T00:00:00Z"}
            else:
                times = [(datetime.fromisoformat(str(row["geändert"])), row) for row in ROWS]
                answer = {"rows": [row for at, row in times if _utc(lo) < at <= _utc(hi)], "next": None}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def test_only_the_engine_lands_in_site_packages(installed: Environment) -> None:
    names = {each.name for each in installed.site.iterdir()} - {
        "dependencies.pth",
        "pip",
        "setuptools",
        "pkg_resources",
    }
    own = {name for name in names if not name.endswith((".dist-info", "_distutils_hack", "distutils-precedence.pth"))}
    assert own - {"__pycache__"} == {"dartifact"}
    assert "wheel" in installed.must(installed.folder, "python", "-c", "import dartifact; print(dartifact.__file__)")


def test_the_example_runs_from_an_empty_folder(installed: Environment, tmp_path: Path) -> None:
    nowhere = installed.run(tmp_path, "dartifact", "status")
    assert (nowhere.returncode, "dartifact init" in nowhere.stderr) == (1, True), nowhere.stderr
    installed.must(tmp_path, "dartifact", "init", "shop", "--example")
    shop = tmp_path / "shop"
    story = json.loads(installed.must(shop, "dartifact", "demo", "--once", "--orders", "50", "-o", "json"))
    assert story["ok"], story
    installed.must(shop, "dartifact", "checks", "validate")
    assert "1 passed" in installed.must(
        shop, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"
    )
    status = json.loads(installed.must(shop / "dbt", "dartifact", "status", "-o", "json"))
    assert status["production"]["live"], "the project is not found from a folder below it"
    assert (shop / ".dartifact" / "ledger.db").is_file()


def test_a_source_of_other_names_and_key_types_gets_through_to_its_reader(
    installed: Environment, tmp_path: Path
) -> None:
    installed.must(tmp_path, "dartifact", "init", "weather")
    project = tmp_path / "weather"
    assert "1 passed" in installed.must(project, *OWN_TEST)
    (project / "flows" / "production.py").write_text(FLOW, encoding="utf-8")
    (project / "checks" / "production.yml").write_text(CONTRACT, encoding="utf-8")
    (project / "dbt" / "models" / "marts" / "tides.sql").write_text(MODEL)
    (project / "dbt" / "models" / "marts" / "tides.yml").write_text(MODEL_YML)
    with (project / "prefect.yaml").open("a") as file:
        file.write(DEPLOYMENT)
    installed.must(project, "dartifact", "checks", "validate")
    assert "1 passed" in installed.must(project, *OWN_TEST)

    refused = installed.run(project, "dartifact", "ingest", "production")
    assert refused.returncode == 1
    assert "no URL is set for production" in refused.stderr

    with serving_heights() as url:
        urls = json.dumps({"production": url})
        brought = json.loads(
            installed.must(project, "dartifact", "ingest", "production", "-o", "json", DARTIFACT_SOURCE_URLS=urls)
        )
    assert [(run["phase"], run["rows"]) for run in brought] == [("queued", len(ROWS))]
    for verb in ("integrate", "stage", "promote"):
        installed.must(project, "dartifact", verb)
    live = json.loads(installed.must(project, "dartifact", "resolve", "-o", "json"))
    assert live["commit"]
    read = "import dartifact as da; print(da.read('tides').sort_values('station').to_dict('records'))"
    highest = [
        {"station": "A 1", "highest": 300},
        {"station": "B 2", "highest": 301},
        {"station": "Ç 3", "highest": 302},
    ]
    assert installed.must(project, "python", "-c", read) == f"{highest}\n"
    batch = f"import dartifact as da; print(len(da.run({brought[0]['run_id']!r}).batch()), len(da.read('production')))"
    assert installed.must(project, "python", "-c", batch) == "9 9\n"
