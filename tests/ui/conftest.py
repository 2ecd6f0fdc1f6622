"""What tests of pages share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from streamlit import config

from tests.ui.pages import Visitor


@pytest.fixture(autouse=True)
def _on_loopback(come_as: Callable[..., None]) -> Iterator[None]:
    """Let the pages be served as `dartifact ui` serves them, to a browser on this machine."""
    come_as(None, Host="127.0.0.1:8501")
    before = config.get_option("server.address")
    config.set_option("server.address", "127.0.0.1")
    yield
    config.set_option("server.address", before)


@pytest.fixture
def come_as(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what lets a browser ask with these headers, from an address; `_` in a name stands for a dash."""

    def come(address: str | None = None, /, **headers: str | list[str]) -> None:
        monkeypatch.setattr("ui.people.st.context", Visitor.of(address, headers))

    return come


@pytest.fixture
def as_viewer(monkeypatch: pytest.MonkeyPatch, come_as: Callable[..., None]) -> None:
    """Let a trusted proxy name somebody without a role."""
    monkeypatch.setenv("DARTIFACT_SIGN_IN", "proxy")
    monkeypatch.setenv("DARTIFACT_PROXY_SECRET", "let me in")
    come_as("192.0.2.7", X_Dartifact_Proxy="let me in", X_Forwarded_Email="eve@example.com")
