"""Culprits: the builds that find out who turned a dartifact red. They are thrown away; nothing of them is uploaded."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dartifact.adapters.lakefs.values import LakeObject
from dartifact.commands.stack import Runner, Stack
from dartifact.commands.staging.builds import Content, build
from dartifact.commands.staging.codes import LastGood
from dartifact.domain import culprits, errors
from dartifact.domain.checks import VerdictKind, judge
from dartifact.domain.culprits import Culprit, Probe, RunChange
from dartifact.domain.dartifacts import fingerprint
from dartifact.domain.runs import folder_owner

Folders = dict[str, list[LakeObject]]


def name_culprit(
    stack: Stack,
    code: Stack,
    digest: str,
    good: LastGood | None,
    commit: str,
    objects: Sequence[LakeObject],
    runner: Runner,
) -> Culprit:
    """Find who turned the objects of a commit red with this code, compared with the last good dartifact."""
    if good is None:
        return culprits.cannot_tell("no dartifact was green before")
    name, old_commit = good.dartifact.dartifact_id, good.dartifact.main_commit
    try:
        before, now = _by_run(stack.lake.list_objects(old_commit, "raw/")), _by_run(objects)
    except errors.NotFound as error:
        return culprits.cannot_tell(f"the data of {name} is gone: {error.message}")
    seqs = {each.run_id: each.window.seq for each in stack.ledger.runs(names=sorted({*before, *now}))}
    changes = culprits.list_changes(_fingerprints(before), _fingerprints(now), seqs)
    has_new_code = digest != good.dartifact.code_digest
    answers: dict[Probe, bool] = {}
    while isinstance(found := culprits.find_culprit(name, changes, answers, has_new_code=has_new_code), Probe):
        what = f"the data of {name}" + (f" and {found.changes} of {len(changes)} changes" if found.changes else "")
        with_code = good.open_code() if found.good_code else code
        if found.good_code:
            what += ", its own code"
        content = _compose(before, old_commit, now, commit, changes[: found.changes])
        answers[found] = runner(
            f"probe build {len(answers) + 1}: {what}", partial(_is_green, stack, with_code, content)
        )
    return found


def _is_green(stack: Stack, code: Stack, content: Content) -> bool:
    with tempfile.TemporaryDirectory(prefix="probe-", dir=stack.home) as folder:
        return judge(build(stack, code, content, Path(folder))).kind is VerdictKind.PASS


def _compose(before: Folders, old: str, now: Folders, new: str, applied: Sequence[RunChange]) -> Content:
    """Return the old content with some runs' folders as they are in the new one."""
    changed = {change.run_id for change in applied}
    kept = [each for run_id, folder in before.items() if run_id not in changed for each in folder]
    return {old: kept, new: [each for run_id in sorted(changed) for each in now.get(run_id, ())]}


def _by_run(objects: Sequence[LakeObject]) -> Folders:
    folders: Folders = defaultdict(list)
    for each in objects:
        owner = folder_owner(each.path)
        if owner is not None:
            folders[owner[1]].append(each)
    return dict(folders)


def _fingerprints(folders: Folders) -> dict[str, str]:
    return {run_id: fingerprint((each.path, each.checksum) for each in own) for run_id, own in folders.items()}
