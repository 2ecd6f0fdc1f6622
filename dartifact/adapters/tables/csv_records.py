"""A CSV cut into blocks of whole records, each proved to be plain or judged row by row.

Python's `csv` in its strict mode says what a file means. Where every quotation mark opens or closes a field, which is
seen from its neighbours for a whole block at once, nothing else can be meant; other blocks are read by `csv`, too.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dartifact.adapters.tables.csv_text import CsvText, count_lines, refuse
from dartifact.domain.errors import UsageError
from dartifact.domain.marks import mark

DELIMITERS = (",", ";", "\t", "|")
_BLOCK = 8 << 20
_LONGEST_HEADER = 4 << 20
_LONGEST_RECORD = 1 << 30
_LINE_ENDS = np.frombuffer(b"\r\n", np.uint8)
_OPEN_END = "unexpected end of data"

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns, what parts the fields, and how many lines the header takes."""

    names: tuple[str, ...]
    delimiter: str
    lines: int


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records as UTF-8, and the line of the file that the first begins at."""

    data: bytes
    line: int


def read_header(text: CsvText, delimiter: str) -> tuple[Header, bytes]:
    """Read the first record; return it and what was read beyond it.

    Without a delimiter the one that gives the most columns is taken; a comma where two give as many. UsageError: there
    is no header, or a column has no name or that of another (names are the same whatever their case).
    """
    try:
        data = text.read(_LONGEST_HEADER)
    except UnicodeError as error:
        raise text.describe_bad_bytes(1) from error
    if not data:
        raise refuse(text.path, "is empty: a CSV begins with the names of its columns")
    names, chosen, size = _choose_delimiter(text, data, delimiter)
    _check_names(text.path, names)
    return Header(tuple(names), chosen, count_lines(data[:size])), data[size:]


def read_blocks(text: CsvText, header: Header, ahead: bytes) -> Iterator[Block]:
    """Yield the records after the header, in order; `ahead` is what was read of them.

    UsageError: a field is not quoted as it should be, a row has more or fewer fields than the header, a blank line
    stands among rows of several columns, or bytes are not of the encoding. Ragged rows are found where quotation marks
    had to be judged; in other blocks the caller finds them, and `find_fault` names them.
    """
    line = 1 + header.lines
    rest, wanted = ahead, max(_BLOCK - len(ahead), 1)
    while True:
        try:
            more = text.read(wanted)
        except UnicodeError as error:
            raise text.describe_bad_bytes(line + count_lines(rest)) from error
        rest += more
        is_last = not more
        end = _find_end(rest, header, is_last)
        if end is None:
            end = _judge(text, header, rest, line, is_last)
        if end:
            yield Block(rest[:end], line)
            line += count_lines(rest[:end])
            rest = rest[end:]
        if is_last:
            return
        if len(rest) > _LONGEST_RECORD:
            raise refuse(text.path, "a row of more than 1 GiB: is a quotation mark not closed?", line)
        # a record longer than a block is looked at again whenever it has doubled
        wanted = max(_BLOCK, len(rest))


def find_fault(text: CsvText, header: Header, block: Block) -> UsageError | None:
    """Return what is wrong with a block that could not be read."""
    try:
        _judge(text, header, block.data, block.line, is_last=True)
    except UsageError as error:
        return error
    return None


def _choose_delimiter(text: CsvText, data: bytes, delimiter: str) -> tuple[list[str], str, int]:
    """Return the first record as the delimiter parts it that gives the most columns, the delimiter, and its size."""
    found: dict[str, tuple[list[str], int]] = {}
    faults: list[csv.Error] = []
    for each in (delimiter,) if delimiter else DELIMITERS:
        lines = _Lines(text, data, 1, is_whole=len(data) < _LONGEST_HEADER)
        try:
            names = next(csv.reader(lines, delimiter=each, strict=True))
        except csv.Error as error:
            faults.append(error)
            continue
        if lines.is_cut and len(data) == _LONGEST_HEADER:
            raise refuse(text.path, f"the header does not end within {_LONGEST_HEADER >> 20} MiB", 1)
        found[each] = names, lines.size
    widest = max((len(names) for names, _ in found.values()), default=1)
    choices = [each for each, (names, _) in found.items() if len(names) == widest > 1]
    chosen = choices[0] if len(choices) == 1 else delimiter or DELIMITERS[0]
    if chosen not in found:
        raise refuse(text.path, f"the header cannot be read: {_say(faults[0])}", 1) from faults[0]
    return found[chosen][0], chosen, found[chosen][1]


def _check_names(path: str, names: list[str]) -> None:
    if not names:
        raise refuse(path, "a blank line where the names of the columns should be", 1)
    places: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if "\0" in name:
            raise refuse(path, f"the name of column {place} holds a NUL", 1, "--encoding utf-16-le")
        if not name:
            raise refuse(path, f"column {place} has no name", 1, "name it in the header")
        if (other := places.setdefault(name.lower(), place)) != place:
            raise refuse(path, f"columns {other} and {place} are both named {name}", 1, "rename one of them")


def _find_end(data: bytes, header: Header, is_last: bool) -> int | None:
    """Return where the last whole record of plain data ends, 0 without one; None where the data has to be judged."""
    quotes = np.empty(0, np.intp)
    open_from = len(data)
    if b'"' in data:
        quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == ord('"'))
        if not _are_plain(data, quotes, header.delimiter):
            return None
        if len(quotes) % 2:
            if is_last:
                return None
            open_from = int(quotes[-1])
    end = len(data) if is_last else _find_line_end(data, quotes, open_from)
    if len(header.names) == 1:
        return end
    # blank lines at the end of the file are no rows: they stay until something follows
    text = data[:end].rstrip(b"\r\n")
    ends = data[len(text) : end]
    end = len(text) + (2 if ends.startswith(b"\r\n") else min(len(ends), 1)) if text else 0
    if data.startswith((b"\r", b"\n")) and text:
        return None
    return None if _has_blank_line(text, quotes) else end


def _has_blank_line(text: bytes, quotes: Positions) -> bool:
    """Tell whether two line ends follow each other outside of quotes."""
    codes = np.frombuffer(text, np.uint8)
    is_end = codes == ord("\n")
    if b"\r" in text:
        is_end |= codes == ord("\r")
    pairs = np.flatnonzero(is_end[1:] & is_end[:-1])
    blanks = pairs[(codes[pairs] != ord("\r")) | (codes[pairs + 1] != ord("\n"))]
    return bool((np.searchsorted(quotes, blanks) % 2 == 0).any())


def _are_plain(data: bytes, quotes: Positions, delimiter: str) -> bool:
    """Tell whether every odd quotation mark begins a field and every even one ends it, or two make one within it."""
    is_edge = np.zeros(256, bool)
    is_edge[[ord(delimiter), ord("\r"), ord("\n"), ord('"')]] = True
    codes = np.frombuffer(data, np.uint8)
    opening, closing = quotes[::2], quotes[1::2]
    before = codes[opening[opening > 0] - 1]
    after = codes[closing[closing < len(data) - 1] + 1]
    return bool(is_edge[before].all() and is_edge[after].all())


def _find_line_end(data: bytes, quotes: Positions, limit: int) -> int:
    r"""Return where the last line before `limit` ends outside of quotes; a \r at the end of the data may go on."""
    codes = np.frombuffer(data, np.uint8)
    if data.endswith(b"\r"):
        limit = min(limit, len(data) - 1)
    size, start = 1 << 16, limit
    while start > 0:
        start, size = max(limit - size, 0), size * 8
        ends = start + np.flatnonzero(np.isin(codes[start:limit], _LINE_ENDS))
        outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
        if outside.size:
            return int(outside[-1]) + 1
    return 0


def _judge(text: CsvText, header: Header, data: bytes, line: int, is_last: bool) -> int:
    """Read the records as Python does; return where the last whole one ends. UsageError: what `read_blocks` says."""
    width, end, begins, blank = len(header.names), 0, line, 0
    lines = _Lines(text, data, line, is_whole=is_last)
    with _any_field_size():
        reader = csv.reader(lines, delimiter=header.delimiter, strict=True)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                if str(error) == _OPEN_END and not is_last:
                    return end
                raise refuse(text.path, _say(error), begins) from error
            if row is None or (lines.is_cut and not is_last):
                return end
            if row == [] and width > 1:
                blank = blank or begins
            elif blank:
                raise refuse(text.path, "a blank line among the rows", blank)
            elif max(len(row), 1) != width:
                raise _refuse_width(text, header, max(len(row), 1), begins)
            else:
                end = lines.size
            begins = line + reader.line_num


def _refuse_width(text: CsvText, header: Header, found: int, line: int) -> UsageError:
    width = len(header.names)
    reason = f"{found:,} field{'s' * (found != 1)}, where the header has {width:,}"
    return refuse(
        text.path,
        reason,
        line,
        "the first row is the header; name another delimiter with --delimiter" if width == 1 else "",
    )


class _Lines:
    """The lines of a text with their ends, and how many bytes were handed out."""

    def __init__(self, text: CsvText, data: bytes, line: int, *, is_whole: bool) -> None:
        try:
            whole = data.decode()
        except UnicodeDecodeError as error:
            whole = data[: error.start].decode()
            if is_whole or error.end < len(data) or error.reason != _OPEN_END:
                raise text.describe_bad_bytes(line + count_lines(data[: error.start])) from error
        self._whole = len(whole)
        self._given = 0
        self._lines = io.StringIO(whole, newline="")
        self._last = ""
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._last = next(self._lines)
        self._given += len(self._last)
        self.size += len(self._last.encode())
        return self._last

    @property
    def is_cut(self) -> bool:
        """Tell whether the last line may go on."""
        return self._given == self._whole and not self._last.endswith("\n")


@contextmanager
def _any_field_size() -> Iterator[None]:
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _say(error: csv.Error) -> str:
    if str(error) == _OPEN_END:
        return "a quotation mark opens a field and none closes it"
    return f"a quoted field is not followed by a delimiter or a line end ({mark(error)})"
