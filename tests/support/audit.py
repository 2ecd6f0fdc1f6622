"""The audit of a home whose sources are the simulated company: is everything there, once, and nothing left open?

What has to be in `main` is computed from the company's state, not from what the ledger says.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION
from dartifact.adapters.tables import duck
from dartifact.commands.stack import Stack
from dartifact.compare.current import select_current
from dartifact.demo.company import Company, CompanyState
from dartifact.demo.state_file import StateFile
from dartifact.domain.queue import runs_in
from dartifact.domain.runs import Phase
from tests.support.books import Files

_ORDERS = "SELECT order_id, status, CAST(amount AS VARCHAR) AS amount, updated_at FROM records"
_PASSING = ("candidate-", "publish-", "build-")


def find_faults(stack: Stack, state_file: Path, *, killed: int = 0) -> list[str]:
    """Return in words what is not as it has to be once everything stands still; nothing when all is well.

    Each kill may have left one helper branch, which is swept an hour later.
    """
    state = StateFile(state_file, None).look().company
    return [
        *_find_loose_ends(stack),
        *_find_branches(stack, killed),
        *_find_wrong_orders(stack, state),
        *_find_wrong_customers(stack, state),
    ]


def _find_loose_ends(stack: Stack) -> list[str]:
    ledger, lake = stack.ledger, stack.lake
    faults = [f"intent {each.operation} ({each.kind}) is open" for each in ledger.open_intents()]
    faults += [f"{run_id} left a gap: {window.lo} to {window.hi}" for window, run_id in ledger.gaps()]
    under_way = (Phase.EXTRACTING, Phase.CHECKING, Phase.QUEUED)
    faults += [f"{each.run_id} is {each.phase}" for each in ledger.runs(phases=under_way)]
    there = set(runs_in(each.path for each in lake.list_objects(f"{MAIN}@", "raw/")))
    known = {each.run_id for each in ledger.runs(phases=(Phase.MERGED, Phase.LIVE))}
    faults += [f"{each} is in main and the ledger does not know" for each in sorted(there - known)]
    faults += [f"the ledger says that {each} is in main" for each in sorted(known - there)]
    pointer = ledger.pointer()
    if pointer.live is None or pointer.settled is None:
        return [*faults, "nothing is live"]
    missing = there - set(ledger.dartifact(pointer.live).runs)
    faults += [f"{each} is in main and not in production" for each in sorted(missing)]
    wanted, shown = (_content(stack, each) for each in (pointer.settled, lake.head(PRODUCTION).commit_id))
    return faults if wanted == shown else [*faults, "production does not show what is settled"]


def _find_branches(stack: Stack, killed: int) -> list[str]:
    files = Files(stack.lake.access, stack.lake.repository)
    refused = {each.payload["branch"] for each in stack.ledger.events(type="CandidateRefused", most=10_000)}
    left = [each for each in files.heads() if each.startswith(_PASSING) and each not in refused]
    return [f"the branch {each} is left" for each in left] if len(left) > killed else []


def _content(stack: Stack, commit: str) -> dict[str, str]:
    fences = ("_dartifact/published.json",)
    return {each.path: each.checksum for each in stack.lake.list_objects(commit) if each.path not in fences}


def _find_wrong_orders(stack: Stack, state: CompanyState) -> list[str]:
    """Compare versions: each one that the company has made is there exactly once, or was brought by a run in a gap."""
    until = _claimed(stack, "orders")
    expected = Counter(map(_version, Company.from_state(state).changes("orders", state.start, until)))
    head = stack.lake.head(MAIN).commit_id
    found = Counter(_version(row) for row in _rows(stack, head, "raw/orders/", _ORDERS) if row["updated_at"] <= until)
    gaps = [stack.ledger.run(run_id) for window, run_id in stack.ledger.gaps() if window.source == "orders"]
    for run in gaps:
        rows = _rows(stack, run.commit, run.folder, _ORDERS) if run.commit else []
        expected -= Counter(_version(row) for row in rows)
    faults = [f"order {each} is missing" for each in list(expected - found)[:5]]
    return faults + [f"order {each} is there {found[each]} times" for each in list(found - expected)[:5]]


def _version(row: dict[str, Any]) -> tuple[Any, ...]:
    at = row["updated_at"]
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return row["order_id"], row["status"], row["amount"], at.timestamp()


def _find_wrong_customers(stack: Stack, state: CompanyState) -> list[str]:
    """Compare what stands: Salesforce tells the last version of a record only."""
    until = _claimed(stack, "customers")
    company = Company.from_state(state)
    expected = {each["customer_id"]: each for each in company.changes("customers", state.start, until)}
    for tick in state.ticks_between(state.start, until):
        for row, is_deleted in company.double_entries(tick):
            expected[row["customer_id"]] = row
            if is_deleted:
                del expected[row["customer_id"]]
    columns = ("name", "email", "segment", "country")
    query = select_current("records", ("customer_id",), "updated_at")
    rows = _rows(stack, stack.lake.head(MAIN).commit_id, "raw/customers/", query)
    found = {row["customer_id"]: tuple(row[each] for each in columns) for row in rows}
    wanted = {key: tuple(row[each] for each in columns) for key, row in expected.items()}
    wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    return [f"customer {each} is {found.get(each)}, not {wanted.get(each)}" for each in wrong[:5]]


def _claimed(stack: Stack, dataset: str) -> datetime:
    """Return up to when all shards of a dataset have claimed."""
    shards = range(len(stack.source(dataset).ingestors))
    return min(stack.ledger.last_claim(dataset, shard) or datetime.min.replace(tzinfo=UTC) for shard in shards)


def _rows(stack: Stack, commit: str, folder: str, query: str) -> list[dict[str, Any]]:
    objects = stack.lake.list_objects(commit, folder)
    with duck.connect() as connection:
        duck.create_view(connection, "records", stack.lake.locate(commit, objects), stack.lake.access)
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
