"""The lake adapter against a real lakeFS server; what a healthy server never does is done by a proxy in front of it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakefs_sdk import models

from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION, PROTECTED, SERVED, STAGING, Lake, LakeAccess
from dartifact.adapters.lakefs.values import Commit, ObjectChange
from dartifact.adapters.tables import duck
from dartifact.domain import errors
from dartifact.local.lakefs_server import choose_port
from tests.support.proxy import Fault, Proxy, merge_into
from tests.support.waiting import wait_until

GUARDED = (MAIN, *SERVED)


def commit_file(lake: Lake, branch: str, path: str = "a", content: bytes = b"1") -> Commit:
    lake.upload(branch, path, content)
    return lake.commit(branch, f"write {path}", {"operation": "op"})


@pytest.fixture
def side(lake: Lake) -> Commit:
    """Commit one file on a branch `side` that was made from `main`."""
    lake.create_branch("side", lake.head(MAIN).commit_id)
    return commit_file(lake, "side")


# Setting up


def test_prepared_repository_has_the_served_branches_at_one_empty_commit(lake: Lake) -> None:
    root = lake.head(MAIN)
    assert [lake.head(branch).commit_id for branch in SERVED] == [root.commit_id] * len(SERVED)
    assert root.parents == ()
    assert lake.list_objects(f"{MAIN}@") == ()


def test_preparing_again_changes_nothing(lake: Lake, side: Commit) -> None:
    merged = lake.merge(side.commit_id, MAIN, "m")
    assert not lake.prepare()
    assert lake.head(MAIN).commit_id == merged


def test_two_processes_prepare_one_repository_at_once(lakefs: LakeAccess, lake: Lake) -> None:
    name = f"{lake.repository}-twice"
    start = threading.Barrier(3)

    def prepare() -> bool:
        mine = Lake(lakefs, name)
        start.wait()
        return mine.prepare()

    with ThreadPoolExecutor(3) as pool:
        created = [each.result() for each in [pool.submit(prepare) for _ in range(3)]]
    assert sorted(created) == [False, False, True]
    assert all(Lake(lakefs, name).is_protected(branch) for branch in GUARDED)


def test_preparation_that_was_killed_half_way_is_finished_by_the_next(lakefs: LakeAccess, lake: Lake) -> None:
    lake.delete_branch(f"{PRODUCTION}-green")
    assert not Lake(lakefs, lake.repository).prepare()
    assert lake.has_branch(f"{PRODUCTION}-green")


# Protection


def raw(lake: Lake, api: str, name: str) -> Callable[..., Any]:
    """Return a call of the SDK that goes through the adapter's own translation of errors."""
    call = getattr(getattr(lake._calls, api), name)
    return lambda *args, **options: lake._calls.write(name, call, *args, **options)


REFUSED: dict[str, Callable[[Lake, str, Commit], object]] = {
    "upload": lambda lake, branch, _: lake.upload(branch, "x", b"1"),
    "delete": lambda lake, branch, _: lake.delete_objects(branch, ["x"]),
    "commit": lambda lake, branch, _: lake.commit(branch, "m", {}),
    "commit by meta-range": lambda lake, branch, side: lake.commit(branch, "m", {}, source_metarange=side.meta_range),
    "reset": lambda lake, branch, _: raw(lake, "branches_api", "reset_branch")(
        branch, models.ResetCreation(type="reset")
    ),
    "hard reset with force": lambda lake, branch, side: raw(lake, "experimental_api", "hard_reset_branch")(
        branch, ref=side.commit_id, force=True
    ),
    "copy": lambda lake, branch, side: raw(lake, "objects_api", "copy_object")(
        branch, "x", models.ObjectCopyCreation(src_path="a", src_ref=side.commit_id)
    ),
}


@pytest.mark.parametrize("branch", GUARDED)
@pytest.mark.parametrize("way", REFUSED)
def test_protected_branch_refuses_writes(shared: Shared, branch: str, way: str) -> None:
    before = shared.lake.head(branch)
    with pytest.raises(errors.LakeRefused, match="protected"):
        REFUSED[way](shared.lake, branch, shared.side)
    assert shared.lake.head(branch) == before


@dataclass(frozen=True)
class Shared:
    """A repository that tests only read, or are refused to write."""

    lake: Lake
    side: Commit


@pytest.fixture(scope="module")
def shared(lakefs: LakeAccess, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    lake = Lake(lakefs, f"shared-{tmp_path_factory.mktemp('name').parent.name.lower()}"[:63])
    lake.prepare()
    lake.create_branch("side", lake.head(MAIN).commit_id)
    return Shared(lake, commit_file(lake, "side"))


def test_every_refused_write_works_on_an_unprotected_branch(lake: Lake, side: Commit) -> None:
    for number, way in enumerate(REFUSED):
        branch = f"free-{number}"
        lake.create_branch(branch, lake.head(MAIN).commit_id)
        if way == "commit":
            lake.upload(branch, "y", b"2")
        REFUSED[way](lake, branch, side)


def test_protected_branch_can_be_merged_into_reverted_and_deleted(lake: Lake, side: Commit) -> None:
    for branch in GUARDED:
        merged = lake.merge(side.commit_id, branch, "m", {"operation": "x"})
        assert lake.head(branch).commit_id == merged
        assert lake.head(branch).metadata["operation"] == "x"
        revert = models.RevertCreation(ref=merged, parent_number=1)
        raw(lake, "branches_api", "revert_branch")(branch, revert)
        assert lake.list_objects(f"{branch}@") == ()
    for branch in SERVED:
        lake.delete_branch(branch)
        assert not lake.has_branch(branch)


def test_removed_protection_rules_are_set_again_and_seen_to_bite(make_lake: Callable[[], Lake]) -> None:
    lakes = {(): make_lake(), (MAIN,): make_lake()}
    for left, lake in lakes.items():
        rules = [models.BranchProtectionRule(pattern=pattern) for pattern in left]
        lake._calls.repositories_api.set_branch_protection_rules(lake.repository, rules)
    for lake in lakes.values():
        wait_until(lambda lake=lake: not lake.is_protected(PRODUCTION))
    for lake in lakes.values():
        lake.protect()
        assert [branch for branch in GUARDED if not lake.is_protected(branch)] == []
        present = lake._calls.repositories_api.get_branch_protection_rules(lake.repository)
        assert {rule.pattern for rule in present} == set(PROTECTED)


def test_asking_whether_an_unprotected_branch_is_protected_keeps_what_is_committed(lake: Lake, side: Commit) -> None:
    assert not lake.is_protected("side")
    assert lake.head("side") == side


def test_protection_that_never_bites_is_an_error_that_names_the_branch(lake: Lake, proxy: Proxy) -> None:
    proxy.add(r"^PUT .*/branches/[^/]+$", Fault.ANSWER, times=None, status=204, body="")
    with pytest.raises(errors.LakeRequestInvalid, match="protection of main"):
        through(lake, proxy).protect(wait=0.0)


# What each answer means


def through(lake: Lake, proxy: Proxy, timeout: tuple[float, float] = (3.0, 30.0)) -> Lake:
    return Lake(replace(lake.access, url=proxy.url), lake.repository, timeout=timeout)


READ = r"^GET .*/commits/"
WRITE = r"^POST .*/branches/side/commits"


def read(lake: Lake) -> object:
    return lake.commit_of("side")


def write(lake: Lake) -> object:
    return lake.commit("side", "m", {})


def test_commit_or_merge_that_changes_nothing_says_so(lake: Lake, side: Commit) -> None:
    with pytest.raises(errors.NoChanges, match=r"commit on side: .*400"):
        lake.commit("side", "m", {})
    lake.merge(side.commit_id, MAIN, "m")
    with pytest.raises(errors.NoChanges, match=f"merge {side.commit_id[:12]} into main"):
        lake.merge(side.commit_id, MAIN, "m")


def test_bad_request_is_not_taken_for_no_changes(lake: Lake) -> None:
    with pytest.raises(errors.LakeRequestInvalid, match="create branch a/b: the lake says 400"):
        lake.create_branch("a/b", MAIN)


def test_merging_into_a_branch_with_staged_data_is_refused_and_not_done(lake: Lake, side: Commit) -> None:
    lake.create_branch("dirty", lake.head(MAIN).commit_id)
    lake.upload("dirty", "b", b"2")
    with pytest.raises((errors.LakeRequestInvalid, errors.Conflict)):
        lake.merge(side.commit_id, "dirty", "m")
    assert [each.path for each in lake.list_objects("dirty@")] == []


def test_wrong_key_is_refused_with_a_hint_at_the_settings(lakefs: LakeAccess, lake: Lake) -> None:
    stranger = Lake(replace(lakefs, secret_access_key="wrong"), lake.repository)
    for call in (lambda: stranger.head(MAIN), lambda: stranger.create_branch("x", MAIN), stranger.prepare):
        with pytest.raises(errors.PolicyRefused, match="401") as caught:
            call()
        assert "DARTIFACT_LAKE_ACCESS_KEY_ID" in str(caught.value.hint)


def test_missing_things_are_not_found_by_name(lake: Lake) -> None:
    for call, name in (
        (lambda: lake.head("nowhere"), "nowhere"),
        (lambda: lake.commit_of("0" * 64), "0" * 64),
        (lambda: lake.list_objects("nowhere"), "nowhere"),
        (lambda: lake.diff("nowhere", MAIN), "nowhere"),
        (lambda: list(lake.log("nowhere")), "nowhere"),
        (lambda: lake.read_bytes(MAIN, "no/file"), "main:no/file"),
        (lambda: lake.merge("0" * 64, MAIN, "m"), "merge 000000000000 into main"),
        (lambda: lake.create_branch("x", "nowhere"), "create branch x"),
        (lambda: lake.upload("nowhere", "x", b""), "nowhere:x"),
        (lambda: Lake(lake.access, "no-repository").head(MAIN), "main"),
    ):
        with pytest.raises(errors.NotFound, match=name):
            call()


def test_taken_name_and_two_sides_of_one_path_are_conflicts(lake: Lake, side: Commit) -> None:
    with pytest.raises(errors.Conflict, match="create branch side: the lake says 409"):
        lake.create_branch("side", MAIN)
    lake.create_branch("other", lake.head(MAIN).commit_id)
    other = commit_file(lake, "other", "a", b"2")
    lake.merge(side.commit_id, MAIN, "m")
    before = lake.head(MAIN)
    with pytest.raises(errors.Conflict, match="409"):
        lake.merge(other.commit_id, MAIN, "m")
    assert lake.head(MAIN) == before


@pytest.mark.parametrize(
    ("status", "on_read", "on_write", "tries"),
    [
        (400, errors.LakeRequestInvalid, errors.LakeRequestInvalid, 1),
        (401, errors.PolicyRefused, errors.PolicyRefused, 1),
        (403, errors.LakeRefused, errors.LakeRefused, 1),
        (404, errors.NotFound, errors.NotFound, 1),
        (409, errors.Conflict, errors.Conflict, 1),
        (410, errors.NotFound, errors.NotFound, 1),
        (412, errors.Conflict, errors.Conflict, 1),
        (420, errors.LakeUnavailable, errors.LakeUnavailable, 3),
        (423, errors.Conflict, errors.Conflict, 1),
        (429, errors.LakeUnavailable, errors.LakeUnavailable, 3),
        (500, errors.LakeUnavailable, errors.OutcomeUnknown, 3),
        (501, errors.LakeRequestInvalid, errors.LakeRequestInvalid, 1),
        (502, errors.LakeUnavailable, errors.OutcomeUnknown, 3),
        (503, errors.LakeUnavailable, errors.OutcomeUnknown, 3),
        (418, errors.LakeUnavailable, errors.OutcomeUnknown, 3),
    ],
)
def test_each_status_has_its_error_and_its_number_of_tries(
    lake: Lake, side: Commit, proxy: Proxy, status: int, on_read: type[Exception], on_write: type[Exception], tries: int
) -> None:
    lake.upload("side", "b", b"2")
    sick = through(lake, proxy)
    proxy.add(READ, Fault.ANSWER, times=None, status=status)
    proxy.add(WRITE, Fault.ANSWER, times=None, status=status)
    with pytest.raises(errors.DartifactError, match=f"commit side: the lake says {status}: told to") as caught:
        read(sick)
    assert type(caught.value) is on_read
    with pytest.raises(errors.DartifactError, match=f"commit on side: the lake says {status}: told to") as caught:
        write(sick)
    assert type(caught.value) is on_write
    assert (proxy.count(READ), proxy.count(WRITE)) == (tries, 1)
    assert lake.head("side") == side


@pytest.mark.parametrize("status", [429, 500])
def test_repeatable_write_is_tried_again_after_a_passing_fault(
    lake: Lake, side: Commit, proxy: Proxy, status: int
) -> None:
    sick = through(lake, proxy)
    for pattern in (r"^POST .*/objects\?", r"^POST .*/objects/delete", r"^DELETE .*/branches/side"):
        proxy.add(pattern, Fault.ANSWER, times=2, status=status)
    sick.upload("side", "b", b"2")
    sick.delete_objects("side", ["a"])
    sick.commit("side", "m", {})
    assert [each.path for each in lake.list_objects("side@")] == ["b"]
    sick.delete_branch("side")
    assert not lake.has_branch("side")


@pytest.mark.parametrize("body", ["", "<html>Bad gateway</html>", '{"error": 1}', "[]", "é" * 3000])
def test_error_without_the_lakes_own_words_is_still_translated(lake: Lake, proxy: Proxy, body: str) -> None:
    proxy.add(READ, Fault.ANSWER, times=None, status=502, body=body)
    with pytest.raises(errors.LakeUnavailable, match="the lake says 502") as caught:
        through(lake, proxy).head(MAIN)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("body", ["<html>Welcome to the hotel wifi</html>", "{}", ""])
def test_success_that_is_not_the_lakes_protocol_is_translated_too(
    lake: Lake, side: Commit, proxy: Proxy, body: str
) -> None:
    proxy.add(r"^GET ", Fault.ANSWER, times=None, status=200, body=body)
    proxy.add(r"^POST .*/commits$", Fault.ANSWER, times=None, status=201, body=body)
    proxy.add(merge_into(MAIN), Fault.ANSWER, times=None, status=200, body=body)
    sick = through(lake, proxy)
    for call in (lambda: sick.head(MAIN), lambda: sick.list_objects(MAIN), lambda: sick.diff(MAIN, "side")):
        with pytest.raises(errors.LakeRequestInvalid):
            call()
    for call in (lambda: sick.commit("side", "m", {}), lambda: sick.merge(side.commit_id, MAIN, "m")):
        with pytest.raises(errors.OutcomeUnknown):
            call()


# Connections


def test_refused_connection_is_known_not_to_have_happened(lakefs: LakeAccess) -> None:
    nowhere = Lake(replace(lakefs, url=f"http://127.0.0.1:{choose_port()}"), "some-repository")
    for call in (
        lambda: nowhere.head(MAIN),
        lambda: nowhere.commit("side", "m", {}),
        lambda: nowhere.upload("side", "a", b"1"),
        lambda: nowhere.merge("0" * 64, MAIN, "m"),
        nowhere.prepare,
    ):
        with pytest.raises(errors.LakeUnavailable, match="does not answer") as caught:
            call()
        assert caught.value.retryable
        assert str(caught.value.hint) == "dartifact doctor"


def test_host_that_does_not_exist_is_known_not_to_have_been_asked(lakefs: LakeAccess) -> None:
    nowhere = Lake(replace(lakefs, url="http://no-such-host.invalid:1"), "some-repository")
    with pytest.raises(errors.LakeUnavailable):
        nowhere.commit("side", "m", {})


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.HALF])
def test_cut_read_is_asked_again(lake: Lake, side: Commit, proxy: Proxy, fault: Fault) -> None:
    proxy.add(r"^GET ", fault, times=2)
    sick = through(lake, proxy)
    assert sick.head("side") == side
    for call, expected in (
        (lambda: [each.path for each in sick.list_objects("side@")], ["a"]),
        (lambda: sick.read_bytes("side@", "a"), b"1"),
        (lambda: [each.commit_id for each in sick.log("side", most=1)], [side.commit_id]),
    ):
        proxy.add(r"^GET ", fault, times=2)
        assert call() == expected
    assert len(proxy.seen) == 12


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.HALF])
def test_read_that_is_always_cut_is_unavailable(lake: Lake, proxy: Proxy, fault: Fault) -> None:
    proxy.add(r"^GET ", fault, times=None)
    for call in (lambda lake: lake.head(MAIN), lambda lake: lake.diff(MAIN, STAGING)):
        with pytest.raises(errors.LakeUnavailable, match="does not answer"):
            call(through(lake, proxy))


@pytest.mark.parametrize(("fault", "happened"), [(Fault.CUT_BEFORE, False), (Fault.CUT_AFTER, True)])
def test_cut_commit_and_merge_are_unknown_and_sent_once(
    lake: Lake, side: Commit, proxy: Proxy, fault: Fault, happened: bool
) -> None:
    lake.upload("side", "b", b"2")
    sick = through(lake, proxy)
    proxy.add(WRITE, fault, times=None)
    proxy.add(merge_into(MAIN), fault, times=None)
    with pytest.raises(errors.OutcomeUnknown, match="commit on side: no answer"):
        sick.commit("side", "m", {})
    with pytest.raises(errors.OutcomeUnknown, match="into main: no answer"):
        sick.merge(side.commit_id, MAIN, "m")
    assert (proxy.count(WRITE), proxy.count(merge_into(MAIN))) == (1, 1)
    assert (lake.head("side") != side) is happened
    assert bool(lake.head(MAIN).parents) is happened


def test_cut_deletion_of_a_branch_that_was_served_is_a_success(lake: Lake, side: Commit, proxy: Proxy) -> None:
    proxy.add(r"^DELETE ", Fault.CUT_AFTER)
    through(lake, proxy).delete_branch("side")
    assert proxy.count(r"^DELETE ") == 2
    assert not lake.has_branch("side")


def test_deleting_a_missing_branch_is_fine(lake: Lake) -> None:
    lake.delete_branch("nowhere")


def test_late_answer_ends_a_read_as_unavailable_and_a_write_as_unknown(lake: Lake, side: Commit, proxy: Proxy) -> None:
    impatient = through(lake, proxy, timeout=(3.0, 0.1))
    stalled = proxy.add(merge_into(MAIN), Fault.STALL)
    proxy.add(READ, Fault.STALL, times=None)
    with pytest.raises(errors.LakeUnavailable, match=r"does not answer \(ReadTimeoutError\)"):
        impatient.head(MAIN)
    assert proxy.count(READ) == 3
    with pytest.raises(errors.OutcomeUnknown, match=r"no answer from the lake \(ReadTimeoutError\)"):
        impatient.merge(side.commit_id, MAIN, "m")
    assert stalled.served.wait(30)
    assert lake.head(MAIN).parents[1] == side.commit_id


def test_write_after_the_server_closed_idle_connections_is_sent_over_a_new_one(
    lake: Lake, side: Commit, proxy: Proxy
) -> None:
    sick = through(lake, proxy)
    sick.head(MAIN)
    proxy.drop_idle()
    sick.merge(side.commit_id, MAIN, "m")
    assert proxy.count(merge_into(MAIN)) == 1
    assert lake.head(MAIN).parents[1] == side.commit_id


# Secrets


def test_secret_is_in_no_repr_and_no_error(lakefs: LakeAccess, lake: Lake, proxy: Proxy) -> None:
    secret = lakefs.secret_access_key
    assert secret not in repr(lakefs) + str(lakefs) + repr(lake)
    sick = through(lake, proxy)
    texts = []
    for status in (400, 401, 403, 404, 409, 500):
        proxy.heal()
        proxy.add(r".", Fault.ANSWER, times=None, status=status)
        for call in (lambda: sick.head(MAIN), lambda: sick.commit("side", "m", {}), lambda: sick.diff("a", "b")):
            with pytest.raises(errors.DartifactError) as caught:
                call()
            texts.append(
                "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.hint)
            )
    proxy.heal()
    proxy.add(r".", Fault.CUT_BEFORE, times=None)
    with pytest.raises(errors.OutcomeUnknown) as caught:
        sick.commit("side", "m", {})
    texts.append("".join(traceback.format_exception(caught.value)))
    assert len(texts) == 19
    assert [text for text in texts if secret in text] == []


# Pages


@pytest.fixture(scope="module")
def crowd(shared: Shared) -> Iterator[Commit]:
    """Commit 1,033 objects on a branch `crowd`; `extra/` sorts before them, `rows/` holds 1,030."""
    lake = shared.lake
    lake.create_branch("crowd", lake.head(MAIN).commit_id)
    names = [f"rows/{number:05}" for number in range(1030)] + ["extra/a", "extra/b", "zzz"]
    base = f"{lake.access.url}/api/v1/repositories/{lake.repository}/branches/crowd/objects?path="
    auth = (lake.access.access_key_id, lake.access.secret_access_key)
    headers = {"Content-Type": "application/octet-stream"}

    def upload(part: list[str]) -> None:
        with httpx.Client(auth=auth, headers=headers, trust_env=False) as client:
            for name in part:
                client.post(base + quote(name, safe=""), content=name.encode()).raise_for_status()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upload, [names[start::4] for start in range(4)]))
    return lake.commit("crowd", "many", {})


def test_listing_goes_on_past_the_first_thousand(shared: Shared, crowd: Commit) -> None:
    everything = [each.path for each in shared.lake.list_objects(crowd.commit_id)]
    assert len(everything) == 1033
    assert everything == sorted(set(everything))
    assert len(shared.lake.list_objects(crowd.commit_id, "rows/")) == 1030
    assert [each.path for each in shared.lake.list_objects(crowd.commit_id, "extra/")] == ["extra/a", "extra/b"]


def test_difference_goes_on_past_the_first_thousand(shared: Shared, crowd: Commit) -> None:
    lake = shared.lake
    assert len(lake.diff(lake.head(MAIN).commit_id, crowd.commit_id)) == 1033
    assert {change.kind for change in lake.diff(crowd.commit_id, lake.head(MAIN).commit_id)} == {"removed"}


def test_thousands_of_objects_are_deleted_in_one_call(shared: Shared, crowd: Commit) -> None:
    lake = shared.lake
    lake.create_branch("emptied", crowd.commit_id)
    lake.delete_objects("emptied", [each.path for each in lake.list_objects(crowd.commit_id, "rows/")])
    emptied = lake.commit("emptied", "gone", {})
    assert [each.path for each in lake.list_objects(emptied.commit_id)] == ["extra/a", "extra/b", "zzz"]


def test_deleting_nothing_asks_nothing(lake: Lake, proxy: Proxy) -> None:
    through(lake, proxy).delete_objects("side", [])
    assert proxy.seen == []


def test_page_that_is_cut_in_the_middle_of_a_listing_is_asked_again(
    shared: Shared, crowd: Commit, proxy: Proxy
) -> None:
    proxy.add(r"after=rows", Fault.HALF, times=2)
    assert len(through(shared.lake, proxy).list_objects(crowd.commit_id)) == 1033
    assert proxy.count("after=rows") == 3


@pytest.fixture(scope="module")
def history(shared: Shared) -> list[str]:
    """Make 130 commits on a branch `long` and return their ids, newest first."""
    lake = shared.lake
    lake.create_branch("long", lake.head(MAIN).commit_id)
    commit = lake._calls.commits_api.commit
    made = []
    for number in range(130):
        body = models.CommitCreation(message=str(number), metadata={"number": str(number)}, allow_empty=True)
        made.append(commit(lake.repository, "long", body).id)
    return made[::-1]


def test_log_walks_to_the_root_over_several_pages(shared: Shared, history: list[str]) -> None:
    found = [each.commit_id for each in shared.lake.log("long")]
    assert found[:130] == history
    assert found[130:] == [shared.lake.head(MAIN).commit_id]


@pytest.mark.parametrize("position", [0, 1, 98, 99, 100, 101, 129])
def test_log_ends_with_the_commit_it_was_told_to_stop_at(shared: Shared, history: list[str], position: int) -> None:
    found = [each.commit_id for each in shared.lake.log("long", stop_at=history[position])]
    assert found == history[: position + 1]


def test_log_gives_at_most_what_was_asked_for_and_starts_anywhere(shared: Shared, history: list[str]) -> None:
    assert [each.commit_id for each in shared.lake.log("long", most=103)] == history[:103]
    found = list(shared.lake.log(history[5], most=2))
    assert [each.commit_id for each in found] == history[5:7]
    assert found[0] == shared.lake.commit_of(history[5])


def test_log_follows_first_parents_only(lake: Lake, side: Commit) -> None:
    root = lake.head(MAIN).commit_id
    merged = lake.merge(side.commit_id, MAIN, "m")
    assert [each.commit_id for each in lake.log(MAIN)] == [merged, root]


# Reading and writing


def test_hidden_branches_are_listed_by_prefix(lake: Lake) -> None:
    root = lake.head(MAIN).commit_id
    lake.create_branch("run-a", root)
    lake.create_branch("run-b", root, hidden=False)
    lake.create_branch("other-c", root)
    assert lake.list_branches("run-") == ("run-a", "run-b")
    assert lake.list_branches("no-such-") == ()
    shown = lake._calls.branches_api.list_branches(lake.repository).results
    assert {each.id for each in shown} & {"run-a", "run-b", "other-c"} == {"run-b"}
    assert lake.has_branch("run-a")
    assert not lake.has_branch("run-c")


@pytest.mark.parametrize("size", [0, 1, 20_000_000])
def test_content_of_any_size_comes_back_as_it_was(lake: Lake, tmp_path: Path, size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    file = tmp_path / "file"
    file.write_bytes(content)
    lake.create_branch("side", lake.head(MAIN).commit_id)
    lake.upload("side", "from-bytes", content)
    lake.upload("side", "from-file", file)
    commit = lake.commit("side", "m", {})
    found = lake.list_objects(commit.commit_id)
    assert [(each.path, each.size) for each in found] == [("from-bytes", size), ("from-file", size)]
    assert found[0].checksum == found[1].checksum
    assert lake.read_bytes(commit.commit_id, "from-bytes") == content
    assert lake.read_bytes(commit.commit_id, "from-file") == content


ODD = [
    "with space",
    "ümläut/日本/🙂",
    "plus+percent%20amp&eq=1",
    "question?mark#hash",
    "quote'double\"back\\slash",
    ".hidden/..dots",
    "semi;colon,comma",
    "brackets[1]{2}(3)*",
    "a" * 500,
    "double//slash",
    "trailing/",
    "new\nline",
]


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_odd_name_is_kept_through_every_call(shared: Shared, name: str) -> None:
    lake, path = shared.lake, f"odd/{name}"
    branch = f"odd-{ODD.index(name)}"
    root = lake.head(MAIN).commit_id
    lake.create_branch(branch, root)
    lake.upload(branch, path, b"1")
    commit = lake.commit(branch, f"write {name[:50]}", {"name": name[:50]})
    assert [each.path for each in lake.list_objects(commit.commit_id, "odd/")] == [path]
    assert lake.diff(root, commit.commit_id) == (ObjectChange(path, "added"),)
    assert lake.read_bytes(commit.commit_id, path) == b"1"
    assert lake.commit_of(commit.commit_id).metadata == {"name": name[:50]}
    lake.delete_objects(branch, [path])
    assert lake.list_objects(lake.commit(branch, "m", {}).commit_id) == ()


def test_json_is_read_and_a_missing_object_is_none(lake: Lake) -> None:
    lake.create_branch("side", lake.head(MAIN).commit_id)
    lake.upload("side", "a.json", b'{"a": [1, "\xc3\xa4"]}')
    assert lake.read_json("side", "a.json") == {"a": [1, "ä"]}
    assert lake.read_json("side@", "a.json") is None
    assert lake.read_json(lake.head(MAIN).commit_id, "a.json") is None


def test_head_leaves_out_what_is_staged(lake: Lake, side: Commit) -> None:
    lake.upload("side", "b", b"2")
    assert lake.head("side") == side
    assert [each.path for each in lake.list_objects("side@")] == ["a"]
    assert [each.path for each in lake.list_objects("side")] == ["a", "b"]


def test_difference_is_plain_or_since_the_two_parted(lake: Lake, side: Commit) -> None:
    lake.create_branch("other", lake.head(MAIN).commit_id)
    other = commit_file(lake, "other", "b")
    assert lake.diff(other.commit_id, side.commit_id) == (ObjectChange("a", "added"), ObjectChange("b", "removed"))
    assert lake.diff(other.commit_id, side.commit_id, since_merge_base=True) == (ObjectChange("a", "added"),)
    changed = commit_file(lake, "side", "a", b"2")
    assert lake.diff(side.commit_id, changed.commit_id) == (ObjectChange("a", "changed"),)
    assert lake.diff(side.commit_id, side.commit_id) == ()


def test_commit_by_meta_range_has_exactly_that_content(lake: Lake, side: Commit) -> None:
    lake.create_branch("other", lake.head(MAIN).commit_id)
    commit_file(lake, "other", "b")
    copied = lake.commit("other", "m", {"operation": "x"}, source_metarange=side.meta_range)
    assert copied.meta_range == side.meta_range
    assert copied.metadata == {"operation": "x"}
    assert lake.diff(side.commit_id, copied.commit_id) == ()


def test_squashed_merge_lands_again_after_its_rows_were_removed(lake: Lake, side: Commit) -> None:
    lake.create_branch("target", lake.head(MAIN).commit_id)
    lake.merge(side.commit_id, "target", "m", squash=True)
    lake.delete_objects("target", ["a"])
    lake.commit("target", "m", {})
    lake.merge(side.commit_id, "target", "m", squash=True)
    assert [each.path for each in lake.list_objects("target@")] == ["a"]


def test_tag_is_set_once_and_never_moved(lake: Lake, side: Commit) -> None:
    lake.tag("t", side.commit_id)
    lake.tag("t", side.commit_id)
    with pytest.raises(errors.Conflict, match="tag t"):
        lake.tag("t", lake.head(MAIN).commit_id)
    assert lake.commit_of("t").commit_id == side.commit_id


def test_commit_of_a_deleted_branch_stays_readable(lake: Lake, side: Commit) -> None:
    lake.delete_branch("side")
    assert lake.commit_of(side.commit_id) == side
    assert lake.read_bytes(side.commit_id, "a") == b"1"


def test_calls_from_many_threads_do_not_mix_their_answers(lake: Lake) -> None:
    root = lake.head(MAIN).commit_id

    def work(number: int) -> tuple[str, bytes]:
        branch = f"side-{number}"
        lake.create_branch(branch, root)
        commit = commit_file(lake, branch, f"file-{number}", str(number).encode())
        (found,) = lake.list_objects(commit.commit_id)
        return found.path, lake.read_bytes(branch, f"file-{number}")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(24)))
    assert found == [(f"file-{number}", str(number).encode()) for number in range(24)]


# Where readers find the data


@pytest.fixture
def tables(lake: Lake, tmp_path: Path) -> Commit:
    """Commit two Parquet files of 3 + 2 rows whose columns differ."""
    lake.create_branch("side", lake.head(MAIN).commit_id)
    for name, table in (
        ("part-0", pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]})),
        ("part-1", pa.table({"id": [4, 5], "extra": [True, False]})),
    ):
        pq.write_table(table, tmp_path / f"{name}.parquet")
        lake.upload("side", f"raw/things/r 1/{name}.parquet", tmp_path / f"{name}.parquet")
    return lake.commit("side", "m", {})


def read_view(access: LakeAccess, urls: tuple[str, ...]) -> list[tuple[Any, ...]]:
    with duck.connect() as connection:
        duck.create_view(connection, "things", urls, access)
        return connection.execute("SELECT id, name, extra, file_row_number FROM things ORDER BY id").fetchall()


ROWS = [(1, "a", None, 0), (2, "b", None, 1), (3, "c", None, 2), (4, None, True, 0), (5, None, False, 1)]


def test_files_of_this_machine_and_the_gateway_show_the_same_rows(lake: Lake, tables: Commit) -> None:
    objects = lake.list_objects(tables.commit_id, "raw/")
    local = lake.locate(tables.commit_id, objects)
    assert all(Path(url).is_file() for url in local)
    far = Lake(replace(lake.access, gateway_only=True), lake.repository)
    remote = far.locate(tables.commit_id, objects)
    assert remote == tuple(f"s3://{lake.repository}/{tables.commit_id}/{each.path}" for each in objects)
    assert read_view(lake.access, local) == read_view(far.access, remote) == ROWS


def test_store_that_is_not_on_this_machine_is_read_through_the_gateway(lake: Lake, tables: Commit) -> None:
    objects = tuple(
        replace(each, physical="local:///nowhere/data") for each in lake.list_objects(tables.commit_id, "raw/")
    )
    urls = lake.locate(tables.commit_id, objects)
    assert all(url.startswith("s3://") for url in urls)
    assert read_view(lake.access, urls) == ROWS
    assert lake.locate(tables.commit_id, ()) == ()


def test_gateway_reads_pinned_content_after_the_branch_moved(lake: Lake, tables: Commit) -> None:
    far = Lake(replace(lake.access, gateway_only=True), lake.repository)
    urls = far.locate(tables.commit_id, lake.list_objects(tables.commit_id))
    lake.delete_objects("side", [each.path for each in lake.list_objects(tables.commit_id)])
    lake.commit("side", "gone", {})
    lake.delete_branch("side")
    assert read_view(far.access, urls) == ROWS


@pytest.mark.parametrize("fault", ["missing file", "missing object", "wrong key", "gateway down"])
def test_file_that_cannot_be_read_is_an_error_without_the_secret(lake: Lake, tables: Commit, fault: str) -> None:
    access = lake.access
    urls: tuple[str, ...] = (f"s3://{lake.repository}/{tables.commit_id}/raw/things/r 1/part-0.parquet",)
    match fault:
        case "missing file":
            urls = ("/nowhere/at/all",)
        case "missing object":
            urls = (f"s3://{lake.repository}/{tables.commit_id}/nowhere.parquet",)
        case "wrong key":
            access = replace(access, secret_access_key="not-the-secret")
        case "gateway down":
            access = replace(access, url=f"http://127.0.0.1:{choose_port()}")
    with duck.connect() as connection, pytest.raises(errors.ChecksErrored, match="cannot be read") as caught:
        duck.create_view(connection, "things", urls, access)
    assert access.secret_access_key not in "".join(traceback.format_exception(caught.value))
