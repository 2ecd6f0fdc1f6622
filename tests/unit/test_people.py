"""Roles: who may do what, which claims give one, what viewers do not read."""

from __future__ import annotations

import pytest

from dartifact.domain.errors import PolicyRefused
from dartifact.domain.people import Role, find_role, hide_unmarked, includes, refuse_below


def test_each_role_may_what_the_ones_before_may() -> None:
    ranked = [Role.VIEWER, Role.REVIEWER, Role.OPERATOR]
    for high, role in enumerate(ranked):
        for low, needed in enumerate(ranked):
            assert includes(role, needed) is (high >= low)
    refuse_below(Role.OPERATOR, Role.REVIEWER, "approve a run")
    with pytest.raises(PolicyRefused, match="a viewer may not approve a run: this requires the role reviewer"):
        refuse_below(Role.VIEWER, Role.REVIEWER, "approve a run")


def test_the_highest_claim_wins_and_nobody_is_more_than_a_viewer_without_one() -> None:
    roles = {"owners": Role.REVIEWER, "group:on-call": Role.OPERATOR, "person:ann@example.com": Role.OPERATOR}
    assert find_role("bob", ["owners", "on-call"], roles) is Role.OPERATOR
    assert find_role("bob", ["owners"], roles) is Role.REVIEWER
    assert find_role("bob", ["others"], roles) is Role.VIEWER
    assert find_role("ann@example.com", [], roles) is Role.OPERATOR
    assert find_role("bob", [], {**roles, "*": Role.REVIEWER}) is Role.REVIEWER


@pytest.mark.parametrize("name", ["owners", "group:on-call", "on-call", "*", "person:ann@example.com"])
def test_nobody_gets_a_role_by_being_called_like_a_group(name: str) -> None:
    roles = {"owners": Role.REVIEWER, "group:on-call": Role.OPERATOR, "person:ann@example.com": Role.OPERATOR}
    assert find_role(name, [], roles) is Role.VIEWER


@pytest.mark.parametrize("group", ["ann@example.com", "person:ann@example.com", "group:owners", "*"])
def test_no_group_gets_the_role_of_a_person(group: str) -> None:
    roles = {"owners": Role.REVIEWER, "person:ann@example.com": Role.OPERATOR}
    assert find_role("bob", [group], roles) is Role.VIEWER


def test_what_a_sentence_tells_of_personal_values_is_cut() -> None:
    personal = [("customers", "email")]
    before = "ann@example.com was seen twice: customers.email: 'ann'"
    hidden = "customers.email: its values are personal and hidden from viewers"
    assert hide_unmarked("customers.email: 1 of 3 rows is no address, e.g. ann@example", personal) == hidden
    assert hide_unmarked(before, personal) == hidden
    assert hide_unmarked("customers.segment: 1 of 3 rows", personal) == "customers.segment: 1 of 3 rows"
    assert hide_unmarked("customers.email_kind: 1 of 3 rows", personal) == "customers.email_kind: 1 of 3 rows"
