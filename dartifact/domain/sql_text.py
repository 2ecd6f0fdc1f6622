"""Names and texts as SQL spells them: the only place where they are quoted."""

from __future__ import annotations


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a string literal."""
    return "'" + text.replace("'", "''") + "'"
