"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dartifact.domain.errors import UsageError
from dartifact.domain.times import read_moment, read_time

NOW = datetime(2021, 3, 10, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("yesterday", datetime(2021, 3, 9, 12, 30, tzinfo=UTC)),
        ("30m", datetime(2021, 3, 10, 12, 0, tzinfo=UTC)),
        ("3h", datetime(2021, 3, 10, 9, 30, tzinfo=UTC)),
        ("2d", datetime(2021, 3, 8, 12, 30, tzinfo=UTC)),
        ("1w", datetime(2021, 3, 3, 12, 30, tzinfo=UTC)),
        ("2021-01-31", datetime(2021, 1, 31, tzinfo=UTC)),
        ("2021-01-31T01:00+01:00", datetime(2021, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_how_long_ago(text: str, moment: datetime) -> None:
    assert read_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "once", "3", "h", "-3h", "3y", "2021-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="neither a date nor a time"):
        read_moment(text, NOW)


def test_a_time_without_a_zone_is_utc() -> None:
    assert read_time("2021-01-31T12:00") == datetime(2021, 1, 31, 12, tzinfo=UTC)
