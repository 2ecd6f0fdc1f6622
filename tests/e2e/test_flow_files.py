"""The flow files run the commands as Prefect flows; Prefect starts a temporary server for that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from flows.customers import ingest_customers
from flows.integrate import integrate
from flows.stage import stage
from flows.production import promote
from flows.housekeeping import reconcile
ingest_customers(); integrate(); stage(); promote(); reconcile()
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
