"""The command line as its users have it: processes of their own, in a home of their own.

The story is played once for the whole module; what reads comes after it, what changes comes last.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest

from dartifact.adapters.lakefs.lake import LakeAccess
from dartifact.adapters.ledger.ledger import Ledger
from dartifact.cli import app as cli
from dartifact.commands.leases import hold_lease
from dartifact.local.lakefs_server import running_lakefs

# One worker plays the story, once; the limit is only there to end a test that hangs.
pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(600)]

PROJECT = Path(__file__).resolve().parents[2]
DARTIFACT = Path(sys.executable).with_name("dartifact")
NOBODY = "http://127.0.0.1:9"
_MARK = "DARTIFACT_TEST_MARK"


@dataclass
class Command:
    """A command under way: its stderr is read as it comes, and `end` waits for the rest."""

    process: subprocess.Popen[str]
    mark: str
    lines: list[str] = field(default_factory=list)
    _said: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                self._said.notify_all()

    def wait_for(self, text: str) -> None:
        with self._said:
            assert self._said.wait_for(lambda: any(text in line for line in self.lines), 300), self.lines

    def end(self) -> Done:
        assert self.process.stdout
        out = self.process.stdout.read()
        code = self.process.wait(600)
        self._reader.join()
        return Done(code, out, "\n".join(self.lines), self.mark)


@dataclass
class Done:
    """What a command left: `processes` of it that are still there are a fault of every command."""

    code: int
    out: str
    err: str
    mark: str = ""

    @property
    def json(self) -> Any:
        """Read the one document on stdout; anything before or after it is an error."""
        return json.loads(self.out)

    @property
    def fault(self) -> str:
        """Return what the command says at its end, in the one form there is for it."""
        return "\n".join(line for line in self.err.splitlines() if line.startswith(("dartifact:", "      try:")))

    def processes(self) -> list[str]:
        """Return the processes that the command started and left."""
        left = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(f"{process.pid} {process.cmdline()}")
            except psutil.Error:
                continue
        return left


def start(home: Path | str, *arguments: str, **environment: str) -> Command:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DARTIFACT_", "LAKEFS_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    mark = uuid.uuid4().hex
    own = {"DARTIFACT_PROJECT": str(PROJECT), "DARTIFACT_HOME": str(home), _MARK: mark, "COLUMNS": "80"}
    process = subprocess.Popen(
        [DARTIFACT, *arguments],
        env=kept | own | environment,
        cwd="/",  # no command depends on where it is run
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Command(process, mark)


def run(home: Path | str, *arguments: str, **environment: str) -> Done:
    """Run a command to its end; no traceback, nothing left running."""
    done = start(home, *arguments, **environment).end()
    assert "Traceback" not in done.err, done.err
    assert done.processes() == []
    return done


class Call(Protocol):
    """The command line in this process: what a second look at the same thing costs a fraction of a second by."""

    def __call__(self, home: Path | str, *arguments: str, **environment: str) -> Done: ...


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(home: Path | str, *arguments: str, **environment: str) -> Done:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["dartifact", *arguments])
            for name, value in ({"DARTIFACT_HOME": str(home)} | environment).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                cli.main()
        printed = capsys.readouterr()
        return Done(int(end.value.code or 0), printed.out, printed.err)

    return call


class Look(Protocol):
    """A verb that reads, in both forms: the document of a process of its own, and the text."""

    def __call__(self, home: Path, *arguments: str) -> tuple[Any, str]: ...


@pytest.fixture
def look(call: Call) -> Look:
    def look(home: Path, *arguments: str) -> tuple[Any, str]:
        document, text = run(home, *arguments, "--output", "json"), call(home, *arguments)
        assert (document.code, text.code) == (0, 0), document.err + text.err
        assert text.out.strip()
        return document.json, text.out

    return look


# The story, once


@dataclass
class Stage:
    """A home in which the story was played, what the demo said, and a second demo that came too late."""

    home: Path
    demo: Done
    second: Done
    broken: Done

    @property
    def failed_run(self) -> str:
        return str(self.demo.json["runs"]["failed_run"])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Play the story; beside it, a second time in the same home, and in a home whose contract forgot the amounts."""
    home, broken = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("broken")
    for folder in ("checks", "dbt", "flows"):
        ignored = shutil.ignore_patterns("target", "logs", "dbt_packages")
        shutil.copytree(PROJECT / folder, broken / "project" / folder, ignore=ignored)
    contract = broken / "project" / "checks" / "orders.yml"
    text = contract.read_text(encoding="utf-8")
    bounds = "      - invalid:\n          valid_min: 0\n          valid_max: 100000\n"
    assert text.count(bounds) == 1
    contract.write_text(text.replace(bounds, ""), encoding="utf-8")

    demo = start(home, "demo", "--once", "--orders", "50", "--output", "json")
    spoiled = start(broken / "home", "demo", "--once", "--orders", "50", DARTIFACT_PROJECT=str(broken / "project"))
    demo.wait_for("1. A good day")
    second = start(home, "demo", "--once", "--orders", "50")
    return Stage(home, second=second.end(), demo=demo.end(), broken=spoiled.end())


@pytest.fixture(scope="module")
def home(stage: Stage) -> Iterator[Path]:
    """Keep the lake of the played story running, so that commands join it instead of starting it each time."""
    assert stage.demo.code == 0, stage.demo.err
    with running_lakefs(stage.home, lambda _: None):
        yield stage.home


def test_the_demo_plays_all_chapters_and_leaves_nothing_running(stage: Stage) -> None:
    assert stage.demo.code == 0, stage.demo.err
    story = stage.demo.json
    assert story["ok"] is True
    assert [chapter["name"] for chapter in story["chapters"]] == [
        "A good day",
        "A bad chunk",
        "Together",
        "Somebody forgot",
        "Staging",
        "Blue/green",
        "It breaks anyway",
    ]
    for chapter in story["chapters"]:
        assert chapter["ok"] is True, chapter
        assert chapter["seconds"] > 0
        assert chapter["expectations"]
    assert stage.demo.processes() == []
    assert "Traceback" not in stage.demo.err


def test_a_second_demo_in_the_same_home_is_told_who_is_at_work(stage: Stage) -> None:
    assert stage.second.code == 6
    assert re.fullmatch(r"dartifact: demo is being done by process \d+ on \S+", stage.second.fault)
    assert "Traceback" not in stage.second.err
    assert stage.second.out.count("\n") <= 3  # it says where it is, and plays nothing
    assert stage.second.processes() == []


def test_a_demo_that_ends_differently_says_what_does_not_hold(stage: Stage) -> None:
    assert stage.broken.code == 3
    assert "Traceback" not in stage.broken.err
    assert re.search(r"✗ DOES NOT HOLD  .* are stopped at their local gates", stage.broken.out)
    assert "✗ DOES NOT HOLD  main and production are what they were" in stage.broken.out
    assert re.search(r"✓ holds  .*runs are in main", stage.broken.out)
    assert re.search(r"✗ A bad chunk\s", stage.broken.out)
    assert re.search(r"✓ A good day\s", stage.broken.out)
    assert stage.broken.processes() == []


def test_after_the_demo_a_command_starts_the_lake_and_stops_it(stage: Stage) -> None:
    assert stage.demo.code == 0, stage.demo.err
    done = run(stage.home, "status")  # `run` looks for processes
    assert done.code == 0
    assert "lakeFS started at http://127.0.0.1:" in done.err
    assert list(stage.home.rglob("server.json")) == []


# Reading


def test_status_tells_where_everything_stands(home: Path, stage: Stage, look: Look) -> None:
    status, text = look(home, "status")
    assert re.fullmatch("[0-9a-f]{64}", status["main"]["commit"])
    assert status["main"]["meta_range"]
    assert status["main"]["tested"] is True
    assert status["queue"] == []
    gaps = {gap["run_id"]: gap["state"] for gap in status["gaps"]}
    assert (gaps[stage.failed_run], gaps[stage.demo.json["runs"]["blamed_run"]]) == ("held", "reverted")
    assert stage.demo.json["runs"]["good_run"] not in gaps
    assert {"source", "shard", "lo", "hi"} <= set(status["gaps"][0])
    production = status["production"]
    assert {"active", "weights", "dartifacts", "commits", "settled", "generation", "frozen"} <= set(production)
    assert production["weights"][production["active"]] == 100
    assert production["settled"] == production["commits"][production["active"]]
    assert production["dartifacts"][production["active"]] == status["staging"]["dartifact"]
    assert production["frozen"] is None
    assert f"run-{stage.failed_run}" in [run["branch"] for run in status["stopped"]]
    assert f"run-{stage.failed_run} (failed)" in text
    assert status["main"]["commit"][:12] in text


def test_runs_lists_every_run_newest_first(home: Path, stage: Stage, look: Look) -> None:
    runs, text = look(home, "runs")
    promised = {"run_id", "source", "ingestor", "phase", "gate", "branch", "commit", "reasons", "window"}
    assert all(promised <= set(each) for each in runs)
    assert [each["window"]["seq"] for each in runs] == sorted((each["window"]["seq"] for each in runs), reverse=True)
    by_id = {each["run_id"]: each for each in runs}
    names = stage.demo.json["runs"]
    assert [by_id[names[key]]["phase"] for key in ("good_run", "failed_run", "blamed_run")] == [
        "live",
        "failed",
        "reverted",
    ]
    assert by_id[stage.failed_run]["gate"] == "local"
    assert by_id[stage.failed_run]["branch"] == f"run-{stage.failed_run}"
    assert by_id[stage.failed_run]["window"]["state"] == "held"
    assert all(f"{run_id} " in text for run_id in by_id)


def test_runs_can_be_filtered(home: Path, stage: Stage, call: Call) -> None:
    failed = call(home, "runs", "--phase", "failed", "--source", "orders", "--output", "json")
    assert stage.failed_run in [each["run_id"] for each in failed.json]
    assert {(each["phase"], each["source"]) for each in failed.json} == {("failed", "orders")}
    assert len(call(home, "runs", "--most", "2", "--output", "json").json) == 2


def test_show_tells_why_a_run_was_stopped_and_shows_its_failing_rows(home: Path, stage: Stage, look: Look) -> None:
    shown, text = look(home, "show", stage.failed_run)
    assert (shown["run_id"], shown["phase"]) == (stage.failed_run, "failed")
    (failed,) = [check for check in shown["checks"] if check["outcome"] == "failed"]
    assert failed["column"] == "amount"
    assert f"orders.amount: {failed['failing_rows']} of {shown['rows']} rows are not between 0" in failed["message"]
    assert len(failed["failing_sample"]) == min(5, failed["failing_rows"]) > 0
    assert all(float(row["amount"]) < 0 for row in failed["failing_sample"])
    assert {row["_run_id"] for row in failed["failing_sample"]} == {stage.failed_run}
    assert shown["reasons"] == [failed["message"]]
    assert [event["type"] for event in shown["events"]] == ["WindowClaimed", "BatchCommitted", "RunFailed"]
    assert f"branch run-{stage.failed_run}" in text
    assert f"amount={failed['failing_sample'][0]['amount']}" in text


def test_show_takes_the_branch_of_a_run_for_its_name(home: Path, stage: Stage, call: Call) -> None:
    done = call(home, "show", f"run-{stage.failed_run}", "--output", "json")
    assert done.json["run_id"] == stage.failed_run


def test_show_tells_what_a_dartifact_is(home: Path, look: Look, call: Call) -> None:
    live = call(home, "resolve", "--output", "json").json["dartifact"]
    shown, text = look(home, "show", live)
    assert (shown["dartifact"], shown["state"]) == (live, "live")
    assert shown["passport"]["runs"] == shown["runs"]
    assert set(shown["passport"]["marts"]) == {"customer_statistics"}
    assert {"DartifactStarted", "DartifactGreen", "DartifactLive"} <= {each["type"] for each in shown["events"]}
    assert f"dartifact {live}: live" in text


def test_a_stopped_run_is_compared_with_main(home: Path, stage: Stage, call: Call) -> None:
    done = call(home, "diff", stage.failed_run, "-o", "json")
    assert done.code == 2, done.err
    document = done.json
    assert document["table"] == "orders"
    assert document["rows"]["added"] + document["rows"]["changed"] > 0
    assert document["three_way"]["run"] + document["three_way"]["both"] > 0
    assert " added, " in call(home, "diff", stage.failed_run).out


def test_a_dartifact_is_compared_with_production_and_with_another(home: Path, look: Look, call: Call) -> None:
    live = look(home, "status")[0]["production"]["live"]
    same = call(home, "diff", live, "-o", "json")
    assert (same.code, same.json["same"]) == (0, True), same.err
    with closing(Ledger(f"sqlite:///{home / 'ledger.db'}")) as ledger:
        first = min((each for each in ledger.dartifacts() if each.commit), key=lambda each: each.created)
    other = call(home, "diff", "--base", first.dartifact_id, "--candidate", live, "-o", "json")
    assert other.code == 2, other.err
    names = [each["table"] for each in other.json.get("tables", [other.json])]
    assert "customer_statistics" in names


def test_resolve_answers_a_commit_and_nothing_else(home: Path, look: Look) -> None:
    answer, text = look(home, "resolve")
    assert re.fullmatch("[0-9a-f]{64}\n", text)
    assert answer["commit"] == text.strip()
    assert (answer["consumer"], answer["branch"]) == (None, "production")
    named, text = look(home, "resolve", "--consumer", "x")
    assert (named["consumer"], named["commit"], text.strip()) == ("x", answer["commit"], answer["commit"])
    assert named["branch"] == f"production-{named['slot']}"


def test_a_rollback_is_previewed_and_nothing_is_done(home: Path, look: Look, call: Call) -> None:
    before = call(home, "resolve", "--output", "json").json
    shown, text = look(home, "rollback", "--preview")
    assert shown["leaves"] == before["dartifact"]
    assert shown["returns"] not in (None, before["dartifact"])
    assert shown["freezes"] is True
    assert shown["steps"][-1] == "publish production"
    assert shown["published"] is False
    assert f"would roll back {shown['leaves']} → {shown['returns']}" in text
    assert call(home, "resolve", "--output", "json").json == before


def test_a_promotion_is_planned_and_nothing_is_done(home: Path, look: Look) -> None:
    plan, text = look(home, "promote", "--plan")
    assert plan["plan"] is None  # the story ends with everything promoted
    assert plan["production"]["weights"][plan["production"]["active"]] == 100
    assert "nothing to promote" in text


def test_doctor_finds_a_played_home_well(home: Path, look: Look) -> None:
    findings, text = look(home, "doctor")
    assert {"packages", "disk", "contract checks/orders.yml", "sources", "ledger", "lake"} <= {
        each["what"] for each in findings
    }
    assert [each for each in findings if not each["ok"]] == []
    assert len(text.splitlines()) == len(findings)


# Exit codes and faults


@pytest.mark.parametrize(
    ("arguments", "code", "fault"),
    [
        (("show", "nosuch"), 1, "dartifact: there is neither a run nor a dartifact nosuch\n      try: dartifact runs"),
        (("runs", "--phase", "x"), 1, "dartifact: there is no phase x; there are extracting, checking"),
        (("ingest", "nosuch"), 1, "dartifact: there is no source nosuch; known: customers, orders\n      try:"),
        (("ingest", "orders", "--ingestor", "x"), 1, "dartifact: orders has no ingestor x; it has dan"),
        (("rollback", "--preview", "--to", "d0"), 1, "dartifact: dartifact d0 never served\n      try:"),
        (("rollback", "--preview", "--blame", "x"), 1, "dartifact: x is not in production, so it cannot be blamed"),
        (("promote", "--plan", "d0"), 1, "dartifact: there is no dartifact d0\n      try:"),
        (
            ("demo", "-o", "json"),
            1,
            "dartifact: a demo that goes on has no one document\n      try: dartifact demo --once",
        ),
    ],
)
def test_what_does_not_exist_is_named(
    home: Path, call: Call, arguments: tuple[str, ...], code: int, fault: str
) -> None:
    done = call(home, *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.fault.startswith(fault)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("nosuch",), "nosuch"),
        (("runs", "--nosuch"), "--nosuch"),
        (("runs", "--most", "x"), "--most"),
        (("runs", "--output", "xml"), "xml"),
        (("show",), "id"),
        (("unfreeze",), "--reason"),
        (("demo", "--once", "--orders", "1"), "1"),
    ],
)
def test_wrong_usage_is_1_and_never_2(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    done = run(tmp_path, *arguments)
    assert (done.code, done.out) == (1, "")
    assert named in done.err.lower()


def test_in_a_new_home_nothing_is_there_and_nothing_can_be_rolled_back(tmp_path: Path, call: Call) -> None:
    home = tmp_path / "new"
    assert call(home, "runs", "--output", "json").json == []
    assert call(home, "runs").out == "no runs yet; try: dartifact demo --once\n"
    for arguments in (("rollback", "--preview"), ("resolve",), ("resolve", "--output", "json")):
        done = call(home, *arguments)
        assert (done.code, done.out) == (1, "")
        assert re.fullmatch(r"dartifact: nothing is live.*\n      try: dartifact promote", done.fault)
    done = run(home, "rollback", DARTIFACT_LAKE_URL=NOBODY)  # a rollback does not need the lake to say so
    assert done.code == 1
    assert done.fault.startswith("dartifact: nothing is live, so nothing can be rolled back")


def test_who_is_at_work_is_named_and_waited_for(home: Path) -> None:
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    verbs = ("integrate", "promote")
    with hold_lease(ledger, "integrate"), hold_lease(ledger, "promote"):
        commands = [start(home, verb) for verb in verbs]
        ended = [command.end() for command in commands]
    ledger.close()
    for verb, done in zip(verbs, ended, strict=True):
        assert (done.code, done.out) == (6, "")
        assert done.fault.startswith(f"dartifact: {verb} is being done by process {os.getpid()} on ")


def test_a_lake_that_does_not_answer_is_named(tmp_path: Path, call: Call) -> None:
    done = run(tmp_path, "status", DARTIFACT_LAKE_URL=NOBODY)
    assert (done.code, done.out) == (4, "")
    assert re.fullmatch(rf"dartifact: {NOBODY}: .*does not answer.*\n      try: dartifact doctor", done.fault)
    urls = json.dumps(dict.fromkeys(("customers", "orders"), "https://shop.example"))
    doctor = call(tmp_path, "doctor", "--output", "json", DARTIFACT_LAKE_URL=NOBODY, DARTIFACT_SOURCE_URLS=urls)
    assert doctor.code == 4
    (bad,) = [each for each in doctor.json if not each["ok"]]
    assert bad["what"] == "lake"
    assert "DARTIFACT_LAKE_URL" in bad["advice"]


def test_a_wrong_key_is_told_from_a_lake_that_does_not_answer(tmp_path: Path, lakefs: LakeAccess, call: Call) -> None:
    key = {"DARTIFACT_LAKE_ACCESS_KEY_ID": lakefs.access_key_id, "DARTIFACT_LAKE_SECRET_ACCESS_KEY": "a wrong secret"}
    done = call(tmp_path, "status", DARTIFACT_LAKE_URL=lakefs.url, **key)
    assert (done.code, done.out) == (5, "")
    assert done.fault.startswith(f"dartifact: {lakefs.url}: ")
    assert "      try: the lake refuses the key: look at DARTIFACT_LAKE_ACCESS_KEY_ID" in done.fault
    assert "a wrong secret" not in done.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DARTIFACT_BATCH_SIZE", "x"),
        ("DARTIFACT_BATCH_SIZE", "0"),
        ("DARTIFACT_REPOSITORY", "A"),
        ("DARTIFACT_SOURCE_URLS", "{not json"),
        ("DARTIFACT_SMOKE_LEAST_SHARE", "2"),
        ("DARTIFACT_LEDGER_URL", "not a url"),
    ],
)
def test_a_wrong_setting_names_its_variable(tmp_path: Path, call: Call, name: str, value: str) -> None:
    done = call(tmp_path, "runs", **{name: value})
    assert (done.code, done.out) == (1, "")
    assert name in done.fault
    assert len(done.err.splitlines()) == 2
    assert "      try: " in done.fault


def test_an_empty_variable_is_one_that_is_not_set(tmp_path: Path, call: Call) -> None:
    done = call(tmp_path / "home", "runs", DARTIFACT_BATCH_SIZE="", DARTIFACT_LEDGER_URL="", DARTIFACT_LAKE_URL="")
    assert done.code == 0, done.err
    assert (tmp_path / "home" / "ledger.db").exists()


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, call: Call) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        done = call(home, "runs")
        assert (done.code, done.out) == (1, "")
        assert done.fault.startswith(f"dartifact: {home} cannot be written: ")
        assert done.fault.endswith("      try: set DARTIFACT_HOME")


def test_a_ledger_that_is_no_database_is_named(tmp_path: Path, call: Call) -> None:
    (tmp_path / "ledger.db").write_text("this is not a database" * 100)
    done = call(tmp_path, "runs")
    assert (done.code, done.out) == (1, "")
    assert "ledger.db cannot be opened: file is not a database" in done.fault


# The start


def test_resolve_answers_without_the_libraries_of_the_lake_and_of_dbt(home: Path) -> None:
    code = """
import sys
from dartifact.cli.app import main
sys.argv = ["dartifact", "resolve"]
try:
    main()
except SystemExit as end:
    assert end.code == 0
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    environment = os.environ | {"DARTIFACT_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True,
                          env=environment)  # fmt: skip
    imported = set(done.stdout.splitlines()[-1].split())
    assert "sqlalchemy" in imported  # the ledger is asked
    assert imported.isdisjoint({"prefect", "lakefs_sdk", "dbt", "soda_core", "pandas"})


# By hand, after the story


def test_a_batch_goes_by_hand_from_the_source_to_production_and_back(home: Path, call: Call) -> None:
    def answer() -> dict[str, Any]:
        return dict(call(home, "resolve", "--output", "json").json)

    def act(*arguments: str) -> Any:
        done = run(home, *arguments, "--output", "json")
        assert done.code == 0, done.err
        return done.json

    before = answer()
    (orders,) = act("ingest", "orders")
    (customers,) = call(home, "ingest", "customers", "--output", "json").json
    brought = sorted((orders["run_id"], customers["run_id"]))
    assert (orders["phase"], customers["phase"]) == ("queued", "queued")
    assert answer() == before

    assert sorted(act("integrate")["merged"]) == brought
    assert answer() == before

    staged = act("stage")
    assert staged["state"] == "green"
    assert set(brought) <= set(staged["runs"])
    assert answer() == before

    planned = call(home, "promote", "--plan", "--output", "json").json
    assert planned["plan"]["dartifact"] == staged["dartifact"]
    assert answer() == before

    promoted = act("promote")
    after = answer()
    assert after["dartifact"] == staged["dartifact"]
    assert after["commit"] not in (None, before["commit"])
    assert promoted["production"]["settled"] == after["commit"]

    preview = call(home, "rollback", "--blame", "runs", "--preview", "--output", "json").json
    assert answer() == after
    rolled_back = act("rollback", "--blame", "runs", "--reason", "a test")
    assert rolled_back["returns"] == preview["returns"] == before["dartifact"]
    assert sorted(rolled_back["reverts"]) == sorted(rolled_back["reverted"]) == brought
    assert rolled_back["published"] is True
    back = answer()
    assert (back["dartifact"], back["commit"]) == (before["dartifact"], before["commit"])
    assert back["generation"] > after["generation"]

    phases = {each["run_id"]: each["phase"] for each in call(home, "runs", "--output", "json").json}
    assert [phases[run_id] for run_id in brought] == ["reverted", "reverted"]
    again = call(home, "promote", staged["dartifact"])  # what was rolled back does not come again
    assert again.code == 1
    assert f"dartifact {staged['dartifact']} is bad, not green" in again.fault


def test_a_promotion_is_left_looked_at_reported_on_and_aborted(home: Path, call: Call) -> None:
    def act(*arguments: str) -> Any:
        done = call(home, *arguments, "--output", "json")
        assert done.code == 0, done.err
        return done.json

    before = act("resolve")
    act("ingest", "orders")
    act("integrate")
    staged = act("stage")
    assert staged["state"] == "green"

    # Ctrl-C in a soak leaves it where it is.
    soak = {"DARTIFACT_SOAK_SECONDS": "600", "DARTIFACT_WEIGHTS": "[50, 100]"}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it, and so would its child
    promoting = start(home, "promote", **soak)
    promoting.wait_for("is watched at 50 % until ")
    promoting.process.send_signal(signal.SIGINT)
    left = promoting.end()
    assert left.code == 130
    assert "nothing is lost" in left.err
    assert left.processes() == []
    assert act("resolve") | {"generation": 0} == before | {"generation": 0}  # plain readers wait
    status = act("status")
    assert (status["under_way"]["dartifact"], status["under_way"]["kind"]) == (staged["dartifact"], "promotion")
    assert re.search(rf"→ \d+\. soak {status['under_way']['slot']} at 50 %", call(home, "promote", "--plan").out)

    # Half of the consumers read it. One of them finds an error; the report waits for the gate, or for a person.
    answers = {name: act("resolve", "--consumer", name) for name in (f"reader-{number}" for number in range(20))}
    exposed = [name for name, told in answers.items() if told["dartifact"] == staged["dartifact"]]
    assert 0 < len(exposed) < len(answers)
    reported = act("report-error", "--consumer", exposed[0], "--message", "no revenue in March")
    assert (reported["dartifact"], reported["stops"]) == (staged["dartifact"], status["under_way"]["plan_id"])

    assert call(home, "abort").code == 1  # a reason is asked for
    assert call(home, "abort", "--reason", "no revenue in March").code == 0
    assert {act("resolve", "--consumer", name)["commit"] for name in answers} == {before["commit"]}
    assert "no revenue in March" in act("status")["production"]["frozen"]
    refused = call(home, "promote")
    assert (refused.code, refused.out) == (5, "")
    assert "promotions are frozen" in refused.fault
    assert "dartifact unfreeze --reason WHY" in refused.fault
    nothing = call(home, "abort", "--reason", "again")
    assert (nothing.code, nothing.fault.splitlines()[0]) == (1, "dartifact: no promotion is under way")

    assert call(home, "unfreeze", "--reason", "the report was wrong").code == 0
    assert call(home, "freeze", "--reason", "quarter end").code == 0
    assert act("status")["production"]["frozen"] == "quarter end"
    assert call(home, "unfreeze", "--reason", "quarter is over").code == 0
    assert act("promote")["production"]["dartifacts"][act("resolve")["slot"]] == staged["dartifact"]
