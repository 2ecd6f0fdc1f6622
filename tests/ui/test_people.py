"""Who acts: the local user of this machine, whom a proxy names, who has signed in; and everybody who is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from streamlit import config

from dartifact.domain.errors import PolicyRefused
from dartifact.domain.people import Role
from tests.support.world import World
from tests.ui.pages import open_page, said
from ui.people import can_sign_in, who

Come = Callable[..., None]
SECRET = {"X_Dartifact_Proxy": "let me in"}
ANN = {**SECRET, "X_Forwarded_Email": "ann@example.com"}


# Somebody at this machine


@pytest.mark.parametrize("host", ["127.0.0.1:8501", "localhost:8501", "LOCALHOST", "[::1]:8501", "127.0.0.2"])
def test_who_sits_at_this_machine_is_the_local_user(
    named_world: World, monkeypatch: pytest.MonkeyPatch, come_as: Come, host: str
) -> None:
    come_as(None, Host=host)
    person = who()
    assert (person.actor, person.role, person.is_proven) == ("ann", Role.OPERATOR, False)
    assert person.place.startswith("browser on ")


@pytest.mark.parametrize("address", [None, "0.0.0.0", "::", "192.0.2.1", "data.example.com", "unix:///run/ui"])
def test_nobody_is_the_local_user_of_a_server_that_others_reach(come_as: Come, address: str | None) -> None:
    config.set_option("server.address", address)
    come_as(None, Host="localhost:8501")
    with pytest.raises(PolicyRefused, match="this server listens on"):
        who()
    assert "this server listens on" in said(open_page("runs"))


@pytest.mark.parametrize(
    "host", ["evil.example:8501", "localhost.evil.example", "192.0.2.1", "a@b", "", "localhost:x:y"]
)
def test_a_page_that_calls_this_machine_by_another_name_is_refused(come_as: Come, host: str) -> None:
    come_as(None, Host=host)
    with pytest.raises(PolicyRefused, match="by another name"):
        who()
    come_as(None, Host=["localhost:8501", host])
    with pytest.raises(PolicyRefused, match="by another name"):
        who()


@pytest.mark.parametrize("header", ["X_Forwarded_For", "X_Forwarded_Host", "X_Real_IP", "Forwarded"])
def test_nobody_else_is_the_local_user(come_as: Come, header: str) -> None:
    come_as("192.0.2.7", Host="localhost")
    with pytest.raises(PolicyRefused, match="not at this machine"):
        who()
    come_as(None, Host="localhost", **{header: "127.0.0.1"})
    with pytest.raises(PolicyRefused, match="not at this machine"):
        who()


# Whom a proxy names


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARTIFACT_SIGN_IN", "proxy")
    monkeypatch.setenv("DARTIFACT_PROXY_SECRET", "let me in")
    monkeypatch.setenv("DARTIFACT_ROLES", '{"owners": "reviewer", "person:ann@example.com": "operator"}')


@pytest.mark.usefixtures("proxied")
def test_a_person_and_a_group_of_one_name_are_two(come_as: Come) -> None:
    come_as("192.0.2.9", **ANN, X_Forwarded_Groups="staff, owners")
    assert (who().actor, who().role, who().is_proven) == ("person:ann@example.com", Role.OPERATOR, True)
    come_as("192.0.2.9", **SECRET, X_Forwarded_User="bob", X_Forwarded_Groups="staff, owners")
    assert who().role is Role.REVIEWER
    come_as("192.0.2.9", **SECRET, X_Forwarded_User="owners", X_Forwarded_Groups="ann@example.com")
    assert who().role is Role.VIEWER


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize("name", ["X_Dartifact_Proxy", "X_Forwarded_Email", "X_Forwarded_User", "X_Forwarded_Groups"])
def test_a_header_that_comes_twice_is_refused(come_as: Come, name: str) -> None:
    first = {**SECRET, "X_Forwarded_User": "ann", "X_Forwarded_Groups": "staff"}.get(name, "eve")
    come_as("192.0.2.9", **{**SECRET, "X_Forwarded_User": "ann", name: [first, "owners"]})
    with pytest.raises(PolicyRefused, match="came more than once"):
        who()


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "Direct access"),
        ({**ANN, "X_Dartifact_Proxy": "let me out"}, "Direct access"),
        (SECRET, "no user header"),
        ({**SECRET, "X_Forwarded_Email": "ann@example.com, eve@example.com"}, "not one person's"),
        ({**SECRET, "X_Forwarded_Email": "ann@example.com\u200b"}, "not one person's"),
        ({**ANN, "X_Forwarded_Groups": "CN=staff,OU=owners"}, "distinguished names"),
    ],
)
def test_what_a_proxy_cannot_have_meant_is_refused(come_as: Come, headers: dict[str, str], why: str) -> None:
    come_as("192.0.2.9", **headers)
    with pytest.raises(PolicyRefused, match=why):
        who()


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("198.51.100.4", "browser at 198.51.100.4"),
        ("10.0.0.1, 2001:db8::1", "browser at 2001:db8::1"),  # what the person wrote stands first
        (["10.0.0.1", "198.51.100.4"], "browser at 198.51.100.4"),
        ("<b>", "browser at 192.0.2.9"),
        ([], "browser at 192.0.2.9"),
    ],
)
def test_the_address_that_the_proxy_saw_is_recorded(come_as: Come, written: str | list[str], place: str) -> None:
    come_as("192.0.2.9", **ANN, X_Forwarded_For=written)
    assert who().place == place


# Who has signed in


@dataclass(frozen=True)
class User:
    claims: dict[str, Any]
    is_logged_in: bool = True

    def to_dict(self) -> dict[str, Any]:
        return self.claims


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch, come_as: Come) -> Callable[..., None]:
    monkeypatch.setenv("DARTIFACT_SIGN_IN", "oidc")
    monkeypatch.setenv("DARTIFACT_ROLES", '{"owners": "reviewer", "person:ann@example.com": "operator"}')
    come_as("192.0.2.9", Host="data.example.com")

    def sign_in(hours_ago: float = 0.0, **claims: Any) -> None:
        made = {"sub": "1", "email": "ann@example.com", "email_verified": True, "iat": time.time() - 3600 * hours_ago}
        monkeypatch.setattr("ui.people.st.user", User({**made, **claims}))

    return sign_in


def test_who_has_signed_in_is_proven(signed_in: Callable[..., None]) -> None:
    signed_in()
    person = who()
    assert (person.actor, person.role, person.is_proven) == ("person:ann@example.com", Role.OPERATOR, True)
    signed_in(email="owners", groups="owners")
    assert who().role is Role.REVIEWER
    signed_in(email="owners")
    assert who().role is Role.VIEWER


@pytest.mark.parametrize("verified", [False, None, "false", 1])
def test_an_address_that_the_provider_has_not_verified_is_nobody(
    signed_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch, verified: object
) -> None:
    signed_in(email_verified=verified)
    with pytest.raises(PolicyRefused, match="has not verified"):
        who()
    monkeypatch.setenv("DARTIFACT_NAME_CLAIM", "sub")
    assert who().actor == "person:1"


def test_a_claim_that_is_missing_is_not_made_up_for(signed_in: Callable[..., None]) -> None:
    signed_in(email="")
    with pytest.raises(PolicyRefused, match="no claim email"):
        who()


@pytest.mark.parametrize(("setting", "hours"), [("", 12), ("1", 1)])
def test_people_sign_in_again_after_a_while(
    signed_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch, setting: str, hours: float
) -> None:
    monkeypatch.setenv("DARTIFACT_SIGN_IN_HOURS", setting)
    signed_in(hours - 0.01)
    assert who().role is Role.OPERATOR
    assert not can_sign_in()
    signed_in(hours + 0.01)
    with pytest.raises(PolicyRefused, match="sign in again"):
        who()
    assert can_sign_in()


@pytest.mark.parametrize("made", [None, "yesterday", True, 4_102_444_800.0])  # the last one: 2100
def test_claims_that_do_not_say_since_when_they_hold_are_refused(signed_in: Callable[..., None], made: object) -> None:
    signed_in(iat=made)
    with pytest.raises(PolicyRefused, match="sign in again"):
        who()
