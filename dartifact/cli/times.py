"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

from dartifact.domain import errors


def read_time(text: str) -> datetime:
    """Read an ISO date or time; UTC where it names no zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is neither a date nor a time"
        raise errors.UsageError(message, hint="write 2021-01-31 or 2021-01-31T12:30:00Z") from error
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
