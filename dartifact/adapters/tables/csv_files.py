"""CSV files as Parquet: every text as it is written, or an error that names file and line."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from dartifact.adapters.tables.csv_records import Block, Header, find_fault, read_blocks, read_header
from dartifact.adapters.tables.csv_text import CsvText, check_encoding, refuse
from dartifact.domain.errors import UsageError
from dartifact.domain.texts import first_line

_PLAIN = (".csv", ".tsv", ".txt")
ENDINGS = (*_PLAIN, *(plain + packed for plain in _PLAIN for packed in (".gz", ".zst")))
"""How the name of a CSV ends."""


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How a CSV is read: as written, unless tokens stand for null or the types of its columns are to be guessed.

    Without a delimiter the header decides it. `encoding` is a name of Python's.
    """

    null_tokens: tuple[str, ...] = ()
    infer_types: bool = False
    delimiter: str = ""
    encoding: str = "utf-8"


AS_WRITTEN = CsvOptions()


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file, and the columns that its folders add: name and text, unless a file of its table has one of the name."""

    path: str
    folders: Mapping[str, str | None]


def read_options(
    null_tokens: Sequence[str], infer_types: bool, delimiter: str = "", encoding: str = "utf-8"
) -> CsvOptions:
    r"""Return options that people gave; `\t` spells a tab. UsageError: a delimiter or encoding that cannot be."""
    delimiter = "\t" if delimiter == "\\t" else delimiter
    if delimiter and (len(delimiter) > 1 or not delimiter.isascii() or delimiter in '"\r\n\0'):
        raise UsageError(
            "a delimiter is one ASCII character, no quotation mark and no line end", hint="for example --delimiter ';'"
        )
    return CsvOptions(tuple(null_tokens), infer_types, delimiter, check_encoding(encoding))


def is_csv(path: str) -> bool:
    """Tell whether a name ends like that of a CSV."""
    return path.lower().endswith(ENDINGS)


def copy_csv(files: Sequence[CsvFile], folder: Path, options: CsvOptions) -> tuple[str, ...]:
    """Write the rows as Parquet into a folder, one file for each set of columns; return the files.

    All columns are texts. An empty field is null, as is one of the null tokens; a quoted one is the text it holds.
    UsageError: a file cannot be read, with its line where there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[tuple[str, ...], str] = {}
    with ExitStack() as stack:
        writers: dict[tuple[str, ...], Any] = {}
        for file in _keep_own_columns(files, options):
            for table in _read_tables(file, options):
                names = tuple(table.column_names)
                if names not in writers:
                    written[names] = str(folder / f"{_digest(names)}.parquet")
                    made = pq.ParquetWriter(written[names], table.schema, compression="snappy", use_dictionary=False)
                    writers[names] = stack.enter_context(made)
                writers[names].write_table(table)
    return tuple(written.values())


def _keep_own_columns(files: Sequence[CsvFile], options: CsvOptions) -> Sequence[CsvFile]:
    """Drop the columns of folders that any of the files has itself."""
    if not any(file.folders for file in files):
        return files
    own: set[str] = set()
    for file in files:
        with CsvText(file.path, check_encoding(options.encoding)) as text:
            own |= {name.lower() for name in read_header(text, options.delimiter)[0].names}
    return [
        replace(file, folders={name: value for name, value in file.folders.items() if name.lower() not in own})
        for file in files
    ]


def _read_tables(file: CsvFile, options: CsvOptions) -> Iterator[Any]:
    """Yield the rows of a file, block by block and an empty one first: a file without rows has columns, too."""
    with CsvText(file.path, check_encoding(options.encoding)) as text, ThreadPoolExecutor(1) as reader:
        header, ahead = read_header(text, options.delimiter)
        yield _add_folders(pa.table({name: pa.array([], pa.string()) for name in header.names}), file)
        under_way: Future[Any] | None = None
        try:
            for block in read_blocks(text, header, ahead):
                before, under_way = under_way, reader.submit(_parse, text, header, block, options)
                if before is not None:
                    yield _add_folders(before.result(), file)
        except UsageError:
            if under_way is not None:
                under_way.result()  # a fault in it stands before the one that was found
            raise
        if under_way is not None:
            yield _add_folders(under_way.result(), file)


def _parse(text: CsvText, header: Header, block: Block, options: CsvOptions) -> Any:
    names = list(header.names)
    # Arrow takes a mark at the beginning of a block for that of the file
    data = codecs.BOM_UTF8 + block.data if block.data.startswith(codecs.BOM_UTF8) else block.data
    try:
        return pc.read_csv(
            pa.BufferReader(data),
            pc.ReadOptions(column_names=names, block_size=len(data) + 1, use_threads=False),
            pc.ParseOptions(
                delimiter=header.delimiter, newlines_in_values=True, ignore_empty_lines=len(header.names) > 1
            ),
            pc.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=["", *options.null_tokens],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        fault = find_fault(text, header, block) or refuse(text.path, first_line(error), block.line)
        raise fault from error


def _add_folders(table: Any, file: CsvFile) -> Any:
    for name, value in file.folders.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    return table


def _digest(names: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]
