"""People: what each may do. Commands ask `Stack.require`; hiding a button is a courtesy, never the check."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from dartifact.domain.errors import PolicyRefused, UsageError

EVERYBODY = "*"
"""In a claim map: whoever has signed in."""


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


def find_role(claims: Iterable[str], roles: Mapping[str, Role]) -> Role:
    """Return the highest role that a person's claims are given by a map of claim → role; VIEWER without any."""
    given = [roles[claim] for claim in (*claims, EVERYBODY) if claim in roles]
    return max(given, key=_RANK.__getitem__, default=Role.VIEWER)


def hide_unmarked(sentence: str, personal: Collection[tuple[str, str]]) -> str:
    """Cut what a sentence tells of values after it names a personal (dataset, column).

    For the sentences that a ledger keeps from before values were marked: they tell values in quotes or as an example.
    """
    for dataset, column in personal:
        found = re.search(rf"\b{re.escape(dataset)}\.{re.escape(column)}\b", sentence)
        if found and ("'" in sentence or "e.g." in sentence):
            return f"{sentence[: found.end()]}: its values are personal and hidden from viewers"
    return sentence
