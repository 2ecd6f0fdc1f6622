"""The flow files run the commands as Prefect flows; Prefect starts a temporary server for that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.adapters.ledger import Ledger
from tests.conftest import PROJECT

PROGRAM = """
from flows.customers import ingest_customers
from flows.integrate import integrate
from flows.stage import stage
from flows.production import promote
from flows.housekeeping import reconcile
ingest_customers(); integrate(); stage(); promote(); reconcile()
"""

CHANGED = """
import sys
from pathlib import Path
from flows.customers import ingest_customers
from flows.integrate import integrate
from flows.stage import stage
ingest_customers(); integrate(); stage()
Path(sys.argv[1]).write_text("select country, sum(orders) as orders from {{ ref('customer_statistics') }} group by 1")
stage()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with homes of its own."""
    return {
        **os.environ,
        "DARTIFACT_HOME": str(tmp_path / "home"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }


def test_the_flows_take_a_source_to_production(environment: dict[str, str]) -> None:
    flows = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert flows.returncode == 0, flows.stderr[-3000:]
    assert "extract customers-dana-" in flows.stderr  # each step is a task of its own name
    status = subprocess.run(
        [sys.executable, "-m", "flows.cli", "status", "--output", "json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    production = json.loads(status.stdout)["production"]
    assert production["live"] is not None
    assert production["active"] == "blue"


def test_the_station_that_comes_every_minute_builds_a_changed_model_without_new_data(
    environment: dict[str, str], tmp_path: Path
) -> None:
    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    (station,) = [each for each in deployments if each["name"] == "stage"]
    assert (station["entrypoint"], station["schedules"]) == ("flows.stage.stage", [{"interval": 60}])
    project = tmp_path / "project"
    for folder in ("checks", "dbt"):
        shutil.copytree(PROJECT / folder, project / folder, ignore=shutil.ignore_patterns("target", "logs"))
    environment["DARTIFACT_PROJECT"] = str(project)
    added = project / "dbt" / "models" / "marts" / "orders_by_country.sql"
    flows = subprocess.run(
        [sys.executable, "-c", CHANGED, str(added)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert flows.returncode == 0, flows.stderr[-3000:]
    ledger = Ledger(f"sqlite:///{tmp_path / 'home' / 'ledger.db'}")
    try:
        second, first = ledger.dartifacts()
    finally:
        ledger.close()
    assert second.main_commit == first.main_commit
    assert second.code_digest != first.code_digest
    assert set((second.passport or {})["marts"]) == {"customer_statistics", "orders_by_country"}
