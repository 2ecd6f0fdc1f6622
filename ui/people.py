"""Who uses the UI: one local user, or who has signed in (OIDC), or whom a trusted proxy names; and with what role."""

from __future__ import annotations

import functools
import hmac
import ipaddress
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import streamlit as st

from dartifact.domain.errors import PolicyRefused
from dartifact.domain.people import PERSON, Role, find_role, includes
from dartifact.settings import Settings, read_settings

_SECRET = "X-Dartifact-Proxy"  # noqa: S105  (the name of a header)
_NAMES = ("X-Forwarded-Email", "X-Forwarded-User")
_GROUPS = "X-Forwarded-Groups"
_ADDRESS = "X-Forwarded-For"
_THROUGH_A_PROXY = (_ADDRESS, "X-Forwarded-Host", "X-Real-IP", "Forwarded")
_SIGN_IN = "DARTIFACT_SIGN_IN=oidc or proxy"
_SKEW_SECONDS = 60  # by which the provider's clock may be ahead


class _Headers(Protocol):
    def get_all(self, key: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts: the actor that is recorded and from where, and the role that commands ask for.

    `is_proven` says that a provider or a proxy vouches for it.
    """

    actor: str
    role: Role
    place: str = ""
    is_proven: bool = False

    @property
    def sees_personal(self) -> bool:
        """Say whether personal columns are shown."""
        return includes(self.role, Role.REVIEWER)


def who() -> Person:
    """Return who acts in this session; PolicyRefused while nobody has signed in, or nobody can know who it is."""
    settings = _read_settings()
    if settings.sign_in == "local":
        _refuse_from_elsewhere()
        return Person(settings.person, Role.OPERATOR, _name_place(st.context.ip_address))
    return _from_proxy(settings) if settings.sign_in == "proxy" else _from_provider(settings)


def can_be_told_apart() -> bool:
    """Say whether somebody, a provider or a proxy, tells people apart."""
    return _read_settings().sign_in != "local"


def can_sign_in() -> bool:
    """Say whether this session may be sent to the OIDC provider."""
    settings = _read_settings()
    return settings.sign_in == "oidc" and not (_is_signed_in() and _is_fresh(_read_claims(), settings))


def can_sign_out() -> bool:
    """Say whether this session has signed in with the OIDC provider."""
    return _read_settings().sign_in == "oidc" and _is_signed_in()


def _read_settings() -> Settings:
    # each read of a page asks who it is for
    return _remember(frozenset(each for each in os.environ.items() if each[0].startswith("DARTIFACT_")))


@functools.lru_cache(maxsize=4)
def _remember(_: frozenset[tuple[str, str]]) -> Settings:
    return read_settings()


# Somebody at this machine


def _refuse_from_elsewhere() -> None:
    """Raise PolicyRefused where somebody who is not at this machine could be the one local user."""
    address = str(st.config.get_option("server.address") or "")
    if not _is_here(address):
        raise PolicyRefused(
            f"Nobody signs in here, and this server listens on {address or 'every address'}",
            hint=f"--server.address=127.0.0.1, or {_SIGN_IN}",
        )
    headers = st.context.headers
    for host in headers.get_all("Host"):
        if not _is_here(_split_host(host)):
            raise PolicyRefused("Nobody signs in here, and this page was asked for by another name", hint=_SIGN_IN)
    peer = st.context.ip_address  # None: this machine
    if (peer and not _is_here(peer)) or any(headers.get_all(name) for name in _THROUGH_A_PROXY):
        raise PolicyRefused("Nobody signs in here, and you are not at this machine", hint=_SIGN_IN)


def _split_host(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is none
    except ValueError:
        return ""
    return parts.hostname or ""


def _is_here(host: str) -> bool:
    """Say whether a name or an address is one by which a machine calls itself."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name_place(address: str | None) -> str:
    return f"browser at {address}" if address else f"browser on {socket.gethostname()}"


# Whom a proxy names


def _from_proxy(settings: Settings) -> Person:
    headers = st.context.headers
    secret = settings.proxy_secret.get_secret_value()
    if not secret or not hmac.compare_digest(_read_once(headers, _SECRET).encode(), secret.encode()):
        hint = "DARTIFACT_PROXY_SECRET, and the same in the proxy's header X-Dartifact-Proxy"
        raise PolicyRefused("Direct access is disabled; use the proxy", hint=hint)
    name = next((name for name in [_read_once(headers, each) for each in _NAMES] if name), "")
    if not name:
        raise PolicyRefused("The proxy sent no user header", hint=f"let it send {_NAMES[0]}")
    _refuse_odd_name(name)
    groups = _read_once(headers, _GROUPS)
    if re.search(r"(^|,)\s*\w+\s*=", groups):
        raise PolicyRefused(
            f"{_GROUPS} holds distinguished names, which commas do not tell apart",
            hint="let the proxy send plain names",
        )
    role = find_role(name, [each.strip() for each in groups.split(",") if each.strip()], settings.roles)
    return Person(f"{PERSON}{name}", role, _name_place(_find_address(headers)), is_proven=True)


def _read_once(headers: _Headers, name: str) -> str:
    """Return a header, empty without it; PolicyRefused where it came twice: nobody knows which one is the proxy's."""
    values = headers.get_all(name)
    if len(values) > 1:
        raise PolicyRefused(f"The header {name} came more than once", hint="let the proxy replace what it was sent")
    return values[0].strip() if values else ""


def _find_address(headers: _Headers) -> str | None:
    """Return the address that the proxy, which has proven itself, was asked from: what it wrote last."""
    written = [part.strip() for value in headers.get_all(_ADDRESS) for part in value.split(",")]
    try:
        return str(ipaddress.ip_address(written[-1])) if written else st.context.ip_address
    except ValueError:
        return st.context.ip_address


# Who has signed in


def _from_provider(settings: Settings) -> Person:
    if not _is_signed_in():
        raise PolicyRefused("Not signed in")
    claims = _read_claims()
    if not _is_fresh(claims, settings):
        raise PolicyRefused(f"Signed in more than {settings.sign_in_hours:g} hours ago: sign in again")
    name = str(claims.get(settings.name_claim) or "")
    if not name:
        raise PolicyRefused(f"The provider sent no claim {settings.name_claim}", hint="set DARTIFACT_NAME_CLAIM")
    if settings.name_claim == "email" and str(claims.get("email_verified")).lower() != "true":
        raise PolicyRefused(
            "The provider has not verified this e-mail address",
            hint="set DARTIFACT_NAME_CLAIM to a claim it vouches for",
        )
    _refuse_odd_name(name)
    given = claims.get(settings.role_claim) or []
    groups = [given] if isinstance(given, str) else [str(each) for each in given]
    place = _name_place(st.context.ip_address)
    return Person(f"{PERSON}{name}", find_role(name, groups, settings.roles), place, is_proven=True)


def _read_claims() -> Mapping[str, Any]:
    return dict(st.user.to_dict())


def _is_fresh(claims: Mapping[str, Any], settings: Settings) -> bool:
    """Say whether claims are from lately; those that do not say when they were made are not."""
    made = claims.get("iat")
    if isinstance(made, bool) or not isinstance(made, int | float):
        return False
    return -_SKEW_SECONDS <= time.time() - made <= settings.sign_in_hours * 3600


def _is_signed_in() -> bool:
    # without [auth] in the secrets the attribute is not there
    return bool(getattr(st.user, "is_logged_in", False))


def _refuse_odd_name(name: str) -> None:
    """Raise PolicyRefused for what is no name of one person: two of them in a line, or marks that nobody sees."""
    if "," in name or not name.isprintable():
        raise PolicyRefused("The name that was sent is not one person's")
