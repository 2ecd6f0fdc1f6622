"""Who uses the UI: one local user, or who has signed in (OIDC), or whom a trusted proxy names; and with what role."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dartifact.domain.errors import PolicyRefused
from dartifact.domain.people import Role, find_role, includes
from dartifact.settings import Settings, read_settings

_SECRET = "X-Dartifact-Proxy"  # noqa: S105  (the name of a header)
_NAMES = ("X-Forwarded-Email", "X-Forwarded-User")
_GROUPS = "X-Forwarded-Groups"


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts: the actor that is recorded, and the role that commands ask for."""

    actor: str
    role: Role

    @property
    def sees_personal(self) -> bool:
        """Say whether personal columns are shown."""
        return includes(self.role, Role.REVIEWER)


def who() -> Person:
    """Return who acts in this session; PolicyRefused while nobody has signed in."""
    settings = read_settings()
    if settings.sign_in == "local":
        return Person(settings.person, Role.OPERATOR)
    return _from_proxy(settings) if settings.sign_in == "proxy" else _from_provider(settings)


def can_be_told_apart() -> bool:
    """Say whether somebody, a provider or a proxy, tells people apart."""
    return read_settings().sign_in != "local"


def can_sign_in() -> bool:
    """Say whether this session may be sent to the OIDC provider."""
    return read_settings().sign_in == "oidc" and not _is_signed_in()


def can_sign_out() -> bool:
    """Say whether this session has signed in with the OIDC provider."""
    return read_settings().sign_in == "oidc" and _is_signed_in()


def _from_proxy(settings: Settings) -> Person:
    headers = st.context.headers
    secret = settings.proxy_secret.get_secret_value()
    if not secret or not hmac.compare_digest(headers.get(_SECRET, "").encode(), secret.encode()):
        hint = "DARTIFACT_PROXY_SECRET, and the same in the proxy's header X-Dartifact-Proxy"
        raise PolicyRefused("Direct access is disabled; use the proxy", hint=hint)
    name = next((headers[each] for each in _NAMES if headers.get(each)), "")
    if not name:
        raise PolicyRefused("The proxy sent no user header", hint=f"let it send {_NAMES[0]}")
    claims = [each.strip() for each in headers.get(_GROUPS, "").split(",")]
    return Person(f"person:{name}", find_role([*claims, name], settings.roles))


def _from_provider(settings: Settings) -> Person:
    if not _is_signed_in():
        raise PolicyRefused("Not signed in")
    claims: dict[str, Any] = dict(st.user.to_dict())
    name = str(claims.get(settings.name_claim) or claims.get("sub") or "")
    if not name:
        raise PolicyRefused(f"The provider sent no claim {settings.name_claim}", hint="set DARTIFACT_NAME_CLAIM")
    given = claims.get(settings.role_claim) or []
    groups = [given] if isinstance(given, str) else [str(each) for each in given]
    return Person(f"person:{name}", find_role([*groups, name], settings.roles))


def _is_signed_in() -> bool:
    # without [auth] in the secrets the attribute is not there
    return bool(getattr(st.user, "is_logged_in", False))
