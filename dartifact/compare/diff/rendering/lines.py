"""Text of any origin on lines of a terminal: printable, measured in columns, shortened in the middle, wrapped."""

from __future__ import annotations

import re
import unicodedata
from itertools import takewhile

_NUMBER = re.compile(r"[+-]?[\d.,]*\d(?:[eE][+-]?\d+)?%?")
_LONGEST_NUMBER = 100
_MARKS = 4  # characters for one column at most: marks without a width of their own can be any number
_ELLIPSIS = "…"


def make_printable(text: str) -> str:
    """Return a text on one line without control characters: those are written as escapes, as in Python."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def measure(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide character, none for a combining one."""
    return len(text) if text.isascii() else sum(map(_measure_char, text))


def _measure_char(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shorten(text: str, most: int) -> str:
    """Return a text of at most `most` columns, cut in its middle; a number stays whole."""
    if is_number(text) or (len(text) <= _MARKS * most and measure(text) <= most):
        return text
    head = _take(text, most // 2)
    tail = _take(text[: -_MARKS * most : -1], most - 1 - measure(head))[::-1]
    return head + _ELLIPSIS + tail


def shorten_pair(base: str, candidate: str, most: int) -> tuple[str, str]:
    """Return two different texts of at most `most` columns each, cut so that their first difference is seen."""
    short = shorten(base, most), shorten(candidate, most)
    if short[0] != short[1] or base == candidate:
        return short
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(base, candidate, strict=False)))
    start = max(0, same - most // 4)
    return _window(base, start, most), _window(candidate, start, most)


def is_number(text: str) -> bool:
    """Tell whether a text is a number, as databases write them."""
    return len(text) <= _LONGEST_NUMBER and bool(_NUMBER.fullmatch(text))


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Return lines of at most `width` columns, broken at blanks, else anywhere, with `first` or `rest` before them."""
    lines, line, before = [], "", first
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if measure(before + longer) <= width:
            line = longer
            continue
        if line:
            lines.append(before + line)
            before = rest
        line = word
        while measure(before + line) > width:
            part = _take(line, width - measure(before)) or line[0]
            lines.append(before + part)
            line, before = line[len(part) :], rest
    return [*lines, before + line]


def pad(text: str, width: int) -> str:
    """Return a text filled with blanks to a width in columns."""
    return text + " " * (width - measure(text))


def _take(text: str, most: int) -> str:
    """Return the longest beginning of at most `most` columns."""
    taken, text = 0, text[: _MARKS * most]
    for place, char in enumerate(text):
        taken += _measure_char(char)
        if taken > most:
            return text[:place]
    return text


def _window(text: str, start: int, most: int) -> str:
    before = _ELLIPSIS if start else ""
    rest = text[start : start + _MARKS * most]
    if measure(rest) <= most - len(before):
        return before + rest
    return before + _take(rest, most - len(before) - 1) + _ELLIPSIS
