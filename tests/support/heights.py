"""A small project that is not the example: heights of the sea, from an API that is served here.

Its source is called `production`, its key has two columns with a space and an umlaut, one of them a date.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

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
STATIONS = ("A 1", "B 2", "Ç 3")


def measure(days: int) -> list[dict[str, object]]:
    """Return what the stations measured on the first days of 2021: 101 cm at the second station on the first."""
    return [
        {"Station Nr": name, "größe": f"2021-01-0{day}", "cm": 100 * day + at, "geändert": f"2021-01-0{day}T12:00:00Z"}
        for day in range(1, days + 1)
        for at, name in enumerate(STATIONS)
    ]


def write_heights(project: Path) -> None:
    """Add the source, its contract, its mart and its deployment to a new project."""
    (project / "flows" / "production.py").write_text(FLOW, encoding="utf-8")
    (project / "checks" / "production.yml").write_text(CONTRACT, encoding="utf-8")
    (project / "dbt" / "models" / "marts" / "tides.sql").write_text(MODEL)
    (project / "dbt" / "models" / "marts" / "tides.yml").write_text(MODEL_YML)
    with (project / "prefect.yaml").open("a") as file:
        file.write(DEPLOYMENT)


@contextmanager
def serving_heights(days: int = 3) -> Iterator[str]:
    """Serve what was measured on so many days, with the clock of the next one."""
    rows = measure(days)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            lo, hi = (datetime.fromisoformat(asked.get(f"updated_{end}", "9999-01-01")) for end in ("after", "until"))
            if url.path == "/clock":
                answer: dict[str, object] = {"now": f"2021-01-0{days + 1}T00:00:00Z"}
            else:
                times = [(datetime.fromisoformat(str(row["geändert"])), row) for row in rows]
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
