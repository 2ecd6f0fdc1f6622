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
    roles = {"owners": Role.REVIEWER, "on-call": Role.OPERATOR}
    assert find_role(["owners", "on-call"], roles) is Role.OPERATOR
    assert find_role(["owners"], roles) is Role.REVIEWER
    assert find_role(["others"], roles) is Role.VIEWER
    assert find_role([], {**roles, "*": Role.REVIEWER}) is Role.REVIEWER


def test_what_a_sentence_tells_of_personal_values_is_cut() -> None:
    personal = [("customers", "email")]
    hidden = "customers.email: its values are personal and hidden from viewers"
    assert hide_unmarked("customers.email: 1 of 3 rows is no address, e.g. ann@example", personal) == hidden
    assert hide_unmarked("customers.segment: 1 of 3 rows", personal) == "customers.segment: 1 of 3 rows"
    assert hide_unmarked("customers.email_kind: 1 of 3 rows", personal) == "customers.email_kind: 1 of 3 rows"
