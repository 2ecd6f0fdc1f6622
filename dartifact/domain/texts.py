"""Texts of other programs, cut down to one line that fits into a message."""

from __future__ import annotations

from dartifact.domain.marks import mark


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, marked; the name of its type where it says nothing."""
    return mark(str(error).strip().partition("\n")[0] or type(error).__name__)


def fit_line(text: str, size: int) -> str:
    """Return the beginning of a text on one line, marked, printable only; `no text` where nothing is left."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return mark(" ".join(printable.split())[:size] or "no text")
