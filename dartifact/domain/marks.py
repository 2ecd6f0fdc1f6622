"""Values of the data inside a sentence: marked where the sentence is made, shown or hidden where it is read.

A marked value stands between U+2068 and U+2069, Unicode's isolates, which are made for text of another origin and are
invisible. So a sentence stays plain text wherever it is joined, stored and sent, and hiding never has to guess what in
it is a value. Whatever another program says (an error of a database, of dbt, of a source) is marked as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable

HIDDEN = "•••"
"""What stands where a value is not shown."""
_OPEN, _CLOSE = "\u2068", "\u2069"
_MARKS = str.maketrans("", "", _OPEN + _CLOSE)
_MARKED = re.compile(f"{_OPEN}[^{_OPEN}{_CLOSE}]*{_CLOSE}")
_VALUED_CHECK = re.compile(r"(\.drift\..+?\.(?:vanished|regression)\.).+", re.DOTALL)

Reveal = Callable[[str], str]
"""What makes a sentence readable: `show_values`, or `hide_values` for those who may not see them."""


def mark(value: object) -> str:
    """Return a value of the data, or what another program said, for a sentence; an empty one needs no mark."""
    text = str(value).translate(_MARKS)
    return f"{_OPEN}{text}{_CLOSE}" if text else ""


def show_values(sentence: str) -> str:
    """Return a sentence as people read it, with its values."""
    return sentence.translate(_MARKS)


def hide_values(sentence: str) -> str:
    """Return a sentence as people read it, without its values, also where one was cut in the middle."""
    cut = _MARKED.sub(HIDDEN, sentence)
    before, opened, _ = cut.partition(_OPEN)  # its end was cut off
    return show_values(before + HIDDEN if opened else cut)


def hide_in_check(check: str) -> str:
    """Return the name of a check without the value that the name of a check of one value ends with."""
    return _VALUED_CHECK.sub(rf"\1{HIDDEN}", check)
