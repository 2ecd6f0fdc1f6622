"""`dartifact up`: scheduled runs go to production by themselves, whatever is killed; nothing is left behind.

One pair of machines for the module, started once: the tests come in the order in which a day brings such things.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
import yaml

from dartifact.domain.runs import Phase
from dartifact.local.child_process import running_child
from dartifact.local.guard import find_marked
from dartifact.local.lakefs_server import choose_port
from dartifact.local.note import read_note
from dartifact.local.prefect_api import PrefectApi
from dartifact.local.prefect_auth import read_auth
from dartifact.local.services import answers
from dartifact.wiring import open_stack
from tests.support.audit import find_faults
from tests.support.machines import Up, ask_prefect, read_json, run_cli, start_up
from tests.support.waiting import wait_until

EVERY = 30
PROJECT = Path(__file__).resolve().parents[2]
INGESTS = {"ingest-orders-dan", "ingest-orders-dave", "ingest-customers-dana"}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Up]]:
    """Bring the machines up; the last of the list runs now."""
    started = [start_up(tmp_path / "home", every=EVERY)]
    yield started
    for each in started:
        each.process.kill()
        each.process.wait()
    wait_until(lambda: not find_marked(started[0].home))


@pytest.mark.timeout(1800)  # minutes on a machine of its own; the limit only ends a test that fails
def test_the_machines_deliver_by_themselves_whatever_is_killed(machines: list[Up]) -> None:
    # One test, so that one process runs it: two pairs of machines are too many for two cores.
    check_that_scheduled_runs_reach_production_by_themselves(machines[-1])
    check_that_steps_are_tasks_and_a_run_leaves_a_markdown_artifact(machines[-1])
    check_that_a_run_stopped_by_a_gate_ends_as_checks_failed_and_is_not_retried(machines[-1])
    check_that_nobody_without_the_word_of_the_home_starts_anything(machines[-1])
    check_that_a_second_up_in_the_same_home_is_refused(machines[-1])
    check_that_killed_parts_come_back_and_data_flows_on(machines[-1])
    check_that_a_rollback_needs_no_prefect(machines[-1])
    check_that_a_killed_launcher_leaves_no_process_and_the_next_up_goes_on(machines)
    check_that_down_stops_everything_and_all_rows_are_there_once(machines[-1])


def check_that_scheduled_runs_reach_production_by_themselves(up: Up) -> None:
    up.wait_for(lambda: up.promotions_done() > 0)
    production = read_json(up.home, "status")["production"]
    assert production["live"] is not None
    names = {each["id"]: each["name"] for each in up.prefect.deployments().values()}
    ended = up.find("flow_runs", state={"type": {"any_": ["COMPLETED"]}})
    scheduled = {names[each["deployment_id"]] for each in ended if each["auto_scheduled"]}
    assert scheduled & INGESTS, "no scheduled run of an ingestor has ended"


def check_that_steps_are_tasks_and_a_run_leaves_a_markdown_artifact(up: Up) -> None:
    # Prefect records tasks a moment after they have run.
    up.wait_for(lambda: any(each["name"].startswith("extract customers-dana-") for each in up.find("task_runs")))
    up.wait_for(lambda: any(each["key"].startswith("customers-dana") for each in up.find("artifacts")))
    artifacts = up.find("artifacts")
    text = next(each["data"] for each in artifacts if each["key"].startswith("customers-dana"))
    assert "branch [`run-customers-dana-" in text
    assert "verdict: **queued**" in text
    assert "look: `dartifact show customers-dana-" in text


def check_that_a_run_stopped_by_a_gate_ends_as_checks_failed_and_is_not_retried(up: Up) -> None:
    up.order_fault("orders", "negative_amounts")
    red = {"state": {"name": {"any_": ["Checks failed"]}}}
    up.wait_for(lambda: len(up.find("flow_runs", **red)) >= 2)  # Dan's half of the chunk and Dave's
    for each in up.find("flow_runs", **red):
        assert each["state_type"] == "FAILED"
        assert each["run_count"] == 1
        assert "run-orders-da" in each["state"]["message"]
    with up.ledger() as ledger:
        failed = ledger.runs(phases=(Phase.FAILED,), source="orders")
        numbers = {each.ingestor: each.number for each in failed}
        assert set(numbers) == {"dan", "dave"}
        # The next chunk flows past.
        up.wait_for(lambda: any(each.number > numbers[each.ingestor]
                                for each in ledger.runs(phases=(Phase.LIVE,), source="orders")))  # fmt: skip


def check_that_nobody_without_the_word_of_the_home_starts_anything(up: Up) -> None:
    # what a page in a browser of this machine would send, or another user's program
    api = up.note.api_url
    assert (up.home / "prefect" / "auth").stat().st_mode & 0o077 == 0
    for headers in ({}, {"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        told = httpx.get(f"{api}/csrf-token?client=eve", headers=headers, timeout=60, trust_env=False)
        asked = httpx.post(f"{api}/deployments/filter", json={}, headers=headers, timeout=60, trust_env=False)
        assert (told.status_code, asked.status_code) == (401, 403)
        assert "access-control-allow-origin" not in {*told.headers, *asked.headers}
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    preflight = httpx.options(f"{api}/deployments/filter", headers=asked, timeout=60, trust_env=False)
    assert preflight.headers.get("access-control-allow-origin") is None
    name, _, secret = read_auth(up.home).partition(":")
    forged = httpx.post(f"{api}/flows/", json={"name": "x"}, auth=(name, secret), timeout=60, trust_env=False)
    assert (forged.status_code, "CSRF" in forged.text) == (403, True)
    assert secret not in up.printed()
    assert not any(secret in " ".join(process.cmdline()) for process in find_marked(up.home))


def check_that_a_second_up_in_the_same_home_is_refused(up: Up) -> None:
    second = run_cli(up.home, "up")
    assert second.returncode == 6
    assert f"are up already (pid {up.process.pid}" in second.stderr
    assert "dartifact down" in second.stderr


def check_that_killed_parts_come_back_and_data_flows_on(up: Up) -> None:
    for part in ("worker", "lakeFS", "Prefect server"):
        up.kill_part(part)
    up.wait_for_promotion()


def check_that_a_rollback_needs_no_prefect(up: Up) -> None:
    server = up.part("Prefect server")
    os.kill(server, signal.SIGSTOP)  # killed, it would be back before the rollback has ended
    try:
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{up.note.api_url}/health", timeout=1)
        done = read_json(up.home, "rollback", "--reason", "three in the morning")
        shown = read_json(up.home, "resolve")
    finally:
        os.kill(server, signal.SIGCONT)
    assert (shown["dartifact"], shown["commit"]) == (done["returns"], done["commit"])
    assert done["returns"] != done["leaves"]
    assert run_cli(up.home, "unfreeze", "--reason", "the day begins").returncode == 0


def check_that_a_killed_launcher_leaves_no_process_and_the_next_up_goes_on(machines: list[Up]) -> None:
    up = machines[-1]
    live = read_json(up.home, "resolve")["commit"]
    up.kill()
    assert read_note(up.home) is None
    machines.append(start_up(up.home, every=EVERY))
    machines[-1].wait_for_promotion()
    assert read_json(up.home, "resolve")["commit"] != live


def check_that_down_stops_everything_and_all_rows_are_there_once(up: Up) -> None:
    places = [each.where for each in up.note.parts if each.where.startswith("http")]
    pids = [each.pid for each in up.note.parts if each.pid]
    assert run_cli(up.home, "down").returncode == 0
    assert up.process.wait(30) == 0, up.printed()
    assert not find_marked(up.home)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not any(answers(place) for place in places)
    assert read_note(up.home) is None
    assert run_cli(up.home, "down").returncode == 1

    # What was under way when they stopped is finished by hand; then the books have to be exact.
    # The company lives on with every call; the customers come last, or a new order would wait for its customer.
    for source, ingestor in (("orders", "dan"), ("orders", "dave"), ("customers", "dana")):
        done = run_cli(up.home, "ingest", source, "--ingestor", ingestor)
        assert done.returncode == 0, done.stdout
    for verb in ("integrate", "stage", "promote"):
        assert run_cli(up.home, verb).returncode == 0
    with open_stack(up.settings, print) as stack:
        gaps = {run_id for _, run_id in stack.ledger.gaps()}
        failed = {each.run_id: each.reasons for each in stack.ledger.runs(phases=(Phase.FAILED,))}
        assert len(failed) == 2, failed
        assert gaps == set(failed)
        faults = find_faults(stack, up.home / "demo" / "company.json", killed=4)
    assert [each for each in faults if "left a gap" not in each] == []


def write_short_automations(place: Path) -> Path:
    """Write the automations for dead flow runs with seconds where they wait for minutes."""
    document = json.loads((PROJECT / "dartifact" / "local" / "zombies.json").read_text())
    for each in document["automations"]:
        each["trigger"]["within"] = 20  # Prefect takes 10 and more; a busy machine holds a heartbeat up for as long
    place.write_text(json.dumps(document))
    return place


def check_that_a_run_that_dies_at_any_moment_is_crashed(api: PrefectApi) -> None:
    """A flow run is left at each moment of its life; one that goes on to say something, or is not due, stays."""
    flow = ask_prefect(api, "flows/", {"name": "left alone"})["id"]
    moments = {
        "taken up": ["PENDING"],
        "begun": ["PENDING", "RUNNING"],
        "under way": ["PENDING", "RUNNING", "heartbeat"],
    }
    stay = {"scheduled": [], "done": ["PENDING", "RUNNING", "COMPLETED"], "alive": ["PENDING", "RUNNING"]}
    # as a deployment makes them: without a state the server would begin each as Pending, which is to be taken up
    made = {"flow_id": flow, "state": {"type": "SCHEDULED"}}
    runs = {name: ask_prefect(api, "flow_runs/", {**made, "name": name})["id"] for name in (*moments, *stay)}
    for name, steps in (moments | stay).items():
        for step in steps:
            if step == "heartbeat":
                send_heartbeat(api, runs[name])
            else:
                ask_prefect(api, f"flow_runs/{runs[name]}/set_state", {"state": {"type": step}, "force": True})

    def find_states() -> dict[str, str]:
        send_heartbeat(api, runs["alive"])
        found = ask_prefect(api, "flow_runs/filter", {"flow_runs": {"id": {"any_": list(runs.values())}}})
        return {each["name"]: each["state_type"] for each in found}

    wait_until(lambda: all(find_states()[name] == "CRASHED" for name in moments), 300, every=2)
    states = find_states()
    assert [states[name] for name in stay] == ["SCHEDULED", "COMPLETED", "RUNNING"]


def send_heartbeat(api: PrefectApi, flow_run: str) -> None:
    """Send what Prefect's engine sends of a flow run that is at work."""
    resource = {"prefect.resource.id": f"prefect.flow-run.{flow_run}", "prefect.resource.name": "left alone"}
    occurred = datetime.now(UTC).isoformat()
    event = {"event": "prefect.flow-run.heartbeat", "occurred": occurred, "resource": resource, "id": str(uuid4())}
    ask_prefect(api, "events", [event])


def test_prefect_yaml_deploys_unchanged_to_another_empty_server(tmp_path: Path) -> None:
    port = choose_port()
    url = f"http://127.0.0.1:{port}"
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DARTIFACT_INGEST_SECONDS": "300",
    }
    prefect = [sys.executable, "-m", "prefect"]
    serve = [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running_child(serve, cwd=tmp_path, env=env, output=subprocess.DEVNULL):
        wait_until(lambda: answers(f"{url}/api/health"), 300, every=0.2)
        make_pool, deploy = "work-pool create dartifact --type process", "--no-prompt deploy --all"
        short = write_short_automations(tmp_path / "short.json")
        crash_zombies = f"automation create --from-file {short}"
        for arguments in (make_pool, deploy, crash_zombies):
            done = subprocess.run([*prefect, *arguments.split()], cwd=PROJECT, env=env, capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=120, check=False)  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
        deployed = PrefectApi(f"{url}/api").deployments()
        automations = ask_prefect(PrefectApi(f"{url}/api"), "automations/filter", {})
        check_that_a_run_that_dies_at_any_moment_is_crashed(PrefectApi(f"{url}/api"))
    assert [each["actions"][0]["state"] for each in automations] == ["CRASHED"] * 2
    # from the moment that a worker takes a run up, not from its first heartbeat only
    armed = {name.rpartition(".")[2] for each in automations for name in each["trigger"]["after"]}
    assert armed == {"Pending", "Running", "heartbeat"}
    declared = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    assert set(deployed) == {each["name"] for each in declared}
    for each in declared:
        assert deployed[each["name"]]["entrypoint"] == each["entrypoint"]
        assert deployed[each["name"]]["work_pool_name"] == "dartifact"
    crons = {each["schedules"][0]["schedule"]["cron"] for name, each in deployed.items() if name in INGESTS}
    assert crons == {"*/5 * * * *"}
    assert all(each["concurrency_options"] for name, each in deployed.items() if name != "rollback")
