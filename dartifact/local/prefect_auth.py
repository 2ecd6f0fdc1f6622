"""The word that the Prefect server of this machine asks everybody for, one for each home.

Without it every program of the machine, and every page in its browser, could start commands: a flow run may name one.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def load_auth(home: Path) -> str:
    """Return the word of a home, `name:secret`, made once; only its owner can read the file."""
    path = auth_file(home)
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process was quicker
        return load_auth(home)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"dartifact:{secrets.token_hex(24)}\n")
    return load_auth(home)


def read_auth(home: Path) -> str:
    """Return the word that a client needs: what Prefect's own setting says, else that of the home; empty for none."""
    if given := os.environ.get("PREFECT_API_AUTH_STRING"):
        return given
    try:
        return auth_file(home).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def auth_file(home: Path) -> Path:
    """Name the file that holds the word."""
    return home / "prefect" / "auth"
