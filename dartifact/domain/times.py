"""Times as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from dartifact.domain import errors

_AGO = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def read_time(text: str) -> datetime:
    """Read an ISO date or time; UTC where it names no zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is neither a date nor a time"
        raise errors.UsageError(message, hint="write 2021-01-31 or 2021-01-31T12:30:00Z") from error
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def read_moment(text: str, now: datetime) -> datetime:
    """Read a moment in the past: `yesterday`, how long ago (`30m`, `3h`, `2d`, `1w`), or an ISO date or time."""
    if text == "yesterday":
        return now - _UNITS["d"]
    if ago := _AGO.fullmatch(text):
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        return read_time(text)
    except errors.UsageError as error:
        raise errors.UsageError(
            error.message, hint="write yesterday, 3h, 2d, 2021-01-31 or 2021-01-31T12:30Z"
        ) from error
