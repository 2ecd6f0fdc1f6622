"""What every database can keep: texts and JSON without what SQLite takes and PostgreSQL refuses, short enough."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

_NUL, _NUL_SIGN = "\x00", "\u2400"
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_DIGEST = 12


def clean_text(text: str) -> str:
    """Return a text without NUL (shown as its sign) and without halves of characters, which no encoding has."""
    if _NUL in text:
        text = text.replace(_NUL, _NUL_SIGN)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def cut_text(text: str, most: int) -> str:
    """Return the beginning of a clean text, with an ellipsis where something was cut off."""
    text = clean_text(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shorten_name(name: str, most: int) -> str:
    """Return a clean name, a long one cut and with a digest at its end: different names stay different."""
    clean = clean_text(name)
    if len(clean) <= most:
        return clean
    digest = hashlib.sha256(clean.encode()).hexdigest()[:_DIGEST]
    return f"{clean[: most - _DIGEST - 1]}…{digest}"


def clean_json(value: Any) -> Any:
    """Return a JSON value with clean texts; NaN and the infinities as the words `NaN`, `Infinity` and `-Infinity`.

    `read_number` reads the words back.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE[str(float(value))]
    if isinstance(value, Mapping):
        return {clean_text(key) if isinstance(key, str) else key: clean_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean_json(each) for each in value]
    return value


def read_number(value: Any) -> Any:
    """Return a number of a JSON value that `clean_json` has written, also one that is not finite."""
    return float(value) if isinstance(value, str) else value
