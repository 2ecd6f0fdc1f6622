"""The text of a CSV as UTF-8, whatever it is packed in and encoded as, and the errors that name its lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pyarrow as pa

from dartifact.domain.errors import UsageError
from dartifact.domain.texts import first_line

_CODECS = {".gz": "gzip", ".zst": "zstd"}
_PIECE = 1 << 20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def refuse(path: str, reason: str, line: int | None = None, hint: str = "") -> UsageError:
    """Return the error of a file: `FILE, line N: REASON`."""
    place = path if line is None else f"{path}, line {line:,}"
    return UsageError(f"{place}: {reason}", hint=hint)


def count_lines(text: bytes) -> int:
    r"""Count the line ends of a UTF-8 text: \n, \r\n and lone \r."""
    lines = text.count(b"\n")
    return lines + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else lines


def check_encoding(encoding: str) -> str:
    """Return Python's name of an encoding; UsageError where it has none."""
    try:
        "".encode(encoding)
        codecs.getincrementaldecoder(encoding)
        return codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"there is no encoding {encoding}", hint="for example utf-8, latin-1, cp1252, utf-16"
        ) from error


class CsvText:
    """The text of one file: unpacked by its ending, as UTF-8 without a byte order mark.

    UsageError: the file cannot be opened or unpacked to its end.
    """

    def __init__(self, path: str, encoding: str) -> None:
        self.path, self.encoding = path, encoding
        self._source = self._open()
        self._pieces = self._recode()
        self._ahead = b""
        self._is_broken = False
        self._looks_like_utf_16 = False

    def __enter__(self) -> CsvText:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._source.close()

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than `size` only at the end. UnicodeError: what follows is not of the encoding.

        What was read before the error is returned first.
        """
        pieces, length = [self._ahead], len(self._ahead)
        while length < size and not self._is_broken:
            try:
                piece = next(self._pieces, None)
            except UnicodeError:
                self._is_broken = True
                break
            if piece is None:
                break
            pieces.append(piece)
            length += len(piece)
        if self._is_broken and not length:
            raise UnicodeError(self.encoding)
        text = b"".join(pieces)
        self._ahead = text[size:]
        return text[:size]

    def describe_bad_bytes(self, line: int) -> UsageError:
        """Return the error of bytes that are not of the encoding."""
        hint = "name the encoding with --encoding"
        if self.encoding == "utf-8":
            hint = "--encoding utf-16" if self._looks_like_utf_16 else "--encoding latin-1"
        return refuse(self.path, f"bytes that are not {self.encoding}", line, hint)

    def _open(self) -> Any:
        codec = next((codec for ending, codec in _CODECS.items() if self.path.lower().endswith(ending)), None)
        try:
            file = pa.OSFile(self.path)
            return pa.CompressedInputStream(file, codec) if codec else file
        except OSError as error:
            raise refuse(self.path, first_line(error)) from error

    def _unpack(self) -> Iterator[bytes]:
        is_first = True
        while True:
            try:
                piece = self._source.read(_PIECE)
            except OSError as error:
                raise refuse(self.path, f"cannot be read to its end: {first_line(error)}") from error
            if not piece:
                return
            if is_first:
                self._looks_like_utf_16 = piece.startswith(_UTF_16)
                is_first = False
            yield piece

    def _recode(self) -> Iterator[bytes]:
        pieces = self._unpack() if self.encoding == "utf-8" else self._decode()
        first = b""
        for piece in pieces:
            first += piece
            if len(first) >= len(codecs.BOM_UTF8):
                break
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from pieces

    def _decode(self) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self.encoding)()
        for piece in self._unpack():
            state = decoder.getstate()
            try:
                yield decoder.decode(piece).encode()
            except UnicodeError:
                decoder.setstate(state)
                yield from _decode_each(decoder, piece)
                raise
        yield decoder.decode(b"", final=True).encode()


def _decode_each(decoder: codecs.IncrementalDecoder, piece: bytes) -> Iterator[bytes]:
    """Decode byte by byte up to the first that does not belong."""
    good = []
    for byte in piece:
        try:
            good.append(decoder.decode(bytes((byte,))).encode())
        except UnicodeError:
            break
    yield b"".join(good)
