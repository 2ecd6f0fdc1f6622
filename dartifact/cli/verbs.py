"""The table of verbs: what each is called, what it does in one line, and where its two functions are.

A verb is two functions of one name. The *signature* says what the verb takes, for the parser and for `--help`; it
imports nothing but typer. The *action* does it; its module imports what it needs at its top. `dartifact.cli.lazy` makes
commands of the two and imports each when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Section(StrEnum):
    """What verbs are listed under in `--help`."""

    PROJECT = "Project"
    SERVICES = "On this machine"
    INGEST = "Ingest"
    BUILD = "Merge and build"
    PRODUCTION = "Production"
    LOOK = "Look"
    REVIEW = "Review"
    CHECKS = "Checks"


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: `signature` and `action` are modules of `dartifact.cli.signatures` and `dartifact.cli.actions`.

    `verbs` makes it a group of verbs, which has neither. `function` is only for a name that Python has taken.
    """

    name: str
    section: Section
    help: str
    signature: str = ""
    action: str = ""
    verbs: tuple[Verb, ...] = ()
    function: str = ""

    @property
    def function_name(self) -> str:
        """Return the name of both its functions."""
        return self.function or self.name.replace("-", "_")


def _project(name: str, action: str, help: str) -> Verb:
    return Verb(name, Section.PROJECT, help, "project", action)


def _services(name: str, action: str, help: str) -> Verb:
    return Verb(name, Section.SERVICES, help, "services", action)


def _ingest(name: str, action: str, help: str) -> Verb:
    return Verb(name, Section.INGEST, help, "ingest", action)


def _build(name: str, action: str, help: str, function: str = "") -> Verb:
    return Verb(name, Section.BUILD, help, "build", action, function=function)


def _production(name: str, action: str, help: str) -> Verb:
    return Verb(name, Section.PRODUCTION, help, "production", action)


def _look(name: str, action: str, help: str) -> Verb:
    return Verb(name, Section.LOOK, help, "look", action)


def _review(name: str, action: str, help: str, function: str = "") -> Verb:
    return Verb(name, Section.REVIEW, help, "review", action, function=function)


_CHECKS = (
    Verb("validate", Section.CHECKS, "Validate every file of checks/, without a lake.", "checks", "validate"),
    Verb("self-test", Section.CHECKS, "Inject known faults and report which the gates stop.", "checks", "self_test"),
)
VERBS = (
    _project("init", "project", "Write a new project, or the example with --example."),
    _project("ui", "ui", "Serve the browser UI of the project."),
    _services("demo", "demo", "Play the story of the product on a real lake."),
    _services("up", "services", "Run everything on this machine: lake, Prefect, worker, UI."),
    _services("down", "services", "Stop what `dartifact up` runs."),
    _services("doctor", "doctor", "Check everything dartifact needs; say how to fix it."),
    _services("backup", "backup", "Copy ledger and lake of this machine while everything runs."),
    _services("restore", "backup", "Write a backup into an empty home."),
    _services("verify", "backup", "Verify that ledger and lake agree, or that a backup is whole."),
    _services("notify-test", "notify_test", "Send a test message to every notification target."),
    _ingest("ingest", "ingest", "Ingest the next window of a source and check it."),
    _ingest("backfill", "ingest", "Ingest an interval of a source again; close its gaps."),
    _ingest("accept-gap", "accept_gap", "Accept that the rows of a gap are missing for good."),
    _ingest("pause", "stops", "Pause an ingestor, or everything with --all."),
    _ingest("resume", "stops", "Resume an ingestor, or everything with --all."),
    _build("integrate", "integrate", "Check the merge queue as it will be merged; merge it."),
    _build("stage", "stage", "Build main with dbt, check it, pack it as a dartifact."),
    _build("adopt", "adopt", "Take what the lake holds into the ledger."),
    Verb(
        "restore-main",
        Section.BUILD,
        "Bring main back to what was tested last.",
        "build",
        "adopt",
        function="restore_main",
    ),
    _production("promote", "promote", "Promote a green dartifact to production, step by step."),
    _production("abort", "promotions", "Abort the promotion under way and freeze promotions."),
    _production("rollback", "rollback", "Roll production back to a dartifact that served before."),
    _production("freeze", "promotions", "Freeze promotions; one under way stays where it is."),
    _production("unfreeze", "promotions", "Allow promotions again."),
    _production("resolve", "resolve", "Print the commit that a reader should read now."),
    _production("report-error", "report_error", "Report an error that a consumer found in what it read."),
    _look("status", "status", "Show where main, the queue, staging and production stand."),
    _look("runs", "runs", "List runs, the newest first."),
    _look("show", "show", "Show a run with its checks, or a dartifact."),
    _look("checkout", "checkout", "Write the rows of a run and a notebook to a folder."),
    _look("diff", "diff", "Compare two tables row by row and cell by cell."),
    Verb("checks", Section.LOOK, "Validate the checks, and test what they stop.", verbs=_CHECKS),
    _review("approve", "approvals", "Approve a run with its failing checks, or a dartifact."),
    _review("reject", "approvals", "Reject a run or a dartifact."),
    _review("recheck", "repairs", "Run the local checks of a stopped run again."),
    _review("fix", "repairs", "Replace the rows of a run and check it again."),
    _review("split", "repairs", "Split off the failing rows of a run; merge the rest."),
    _review("open", "repairs", "Start a manual change of a dataset.", function="open_change"),
    _review("waive", "waivers", "Let a failing check only warn, until a date."),
    _review("waivers", "waivers", "List the waivers in force."),
    _review("unwaive", "waivers", "End a waiver before its date."),
)
# Names of the release before, each with what it is called now. They are hidden, and go with the next release.
ALIASES = {"leave-out": ("split",), "stop-the-line": ("pause", "--all"), "start-the-line": ("resume", "--all")}
