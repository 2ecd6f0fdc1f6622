"""People: what each may do. Commands ask `Stack.require`; hiding a button is a courtesy, never the check."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from dartifact.domain.errors import PolicyRefused, UsageError

EVERYBODY = "*"
"""In a map of roles: whoever has signed in."""
PERSON, GROUP = "person:", "group:"
"""What a name begins with that is a person's, or a group's: in a map of roles, and in what is recorded."""


class Role(StrEnum):
    """What a person may do; each may what the ones before may."""

    VIEWER = "viewer"  # look, without personal columns
    REVIEWER = "reviewer"  # decide on runs and dartifacts, see personal columns
    OPERATOR = "operator"  # move production


_RANK = {role: rank for rank, role in enumerate(Role)}


def require_reason(reason: str) -> None:
    """Raise UsageError when a decision has no reason."""
    if not reason.strip():
        raise UsageError("a reason is required", hint="--reason WHY")


def includes(role: Role, needed: Role) -> bool:
    """Say whether a role may do what another one may."""
    return _RANK[role] >= _RANK[needed]


def refuse_below(role: Role, needed: Role, deed: str) -> None:
    """Raise PolicyRefused unless the role is at least the needed one."""
    if not includes(role, needed):
        raise PolicyRefused(
            f"a {role} may not {deed}: this requires the role {needed}", hint="ask who sets DARTIFACT_ROLES"
        )


def find_role(person: str, groups: Iterable[str], roles: Mapping[str, Role]) -> Role:
    """Return the highest role that a map gives a person, or one of the person's groups; VIEWER without any.

    A name in the map is a person's after `person:`, else a group's, also without `group:`: nobody gets the role of a
    group by being called like it.
    """
    claims = {EVERYBODY, PERSON + person, *(GROUP + group for group in groups)}
    given = [role for name, role in roles.items() if _tell_apart(name) in claims]
    return max(given, key=_RANK.__getitem__, default=Role.VIEWER)


def _tell_apart(name: str) -> str:
    return name if name == EVERYBODY or name.startswith((PERSON, GROUP)) else GROUP + name


def hide_unmarked(sentence: str, personal: Collection[tuple[str, str]]) -> str:
    """Leave of a sentence that names a personal (dataset, column) and tells values nothing but that name.

    For the sentences that a ledger keeps from before values were marked: they tell values in quotes or as an example.
    """
    for dataset, column in personal:
        found = re.search(rf"\b{re.escape(dataset)}\.{re.escape(column)}\b", sentence)
        if found and ("'" in sentence or "e.g." in sentence):
            return f"{dataset}.{column}: its values are personal and hidden from viewers"
    return sentence
