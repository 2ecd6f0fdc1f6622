"""The reference project: what `dartifact init --example` writes, and the browser UI that every project gets."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def find_reference() -> Path:
    """Return the folder of the reference project: inside the installed package, in a checkout beside it."""
    shipped = _PACKAGE / "_reference"
    return shipped if shipped.is_dir() else _PACKAGE.parent
