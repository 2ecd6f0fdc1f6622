"""CSV files as written: every text, or an error that names file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dartifact.adapters.tables import csv_records
from dartifact.adapters.tables.csv_files import AS_WRITTEN, CsvFile, CsvOptions, copy_csv, read_options
from dartifact.domain.errors import UsageError

Rows = list[tuple[str | None, ...]]


def read(path: Path, options: CsvOptions = AS_WRITTEN, **folders: str) -> tuple[list[str], Rows]:
    """Return the names of the columns and the rows of one file."""
    with TemporaryDirectory() as folder:
        [copy] = copy_csv([CsvFile(str(path), folders)], Path(folder), options)
        table = pq.read_table(copy)
        return table.column_names, [tuple(row.values()) for row in table.to_pylist()]


def write(folder: Path, data: bytes | str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n#1,2\n", [("#1", "2")]),
        ("a,b\n1,2", [("1", "2")]),
        ("a,b\n1,2\r\n3,4\n5,6\r7,8\n", [("1", "2"), ("3", "4"), ("5", "6"), ("7", "8")]),
        ("a,b\r1,2\r3,4\r", [("1", "2"), ("3", "4")]),
        ('a,b\r\n"x\r\ny",2\r\n"u\rv\n\nw",3', [("x\r\ny", "2"), ("u\rv\n\nw", "3")]),
        ('a,b\n,""\n"",\n', [(None, ""), ("", None)]),
        ("a,b\n  x , y\t\n", [("  x ", " y\t")]),
        ('a,b\n "x",2\n', [(' "x"', "2")]),
        ('a,b\nx"y,5"\n', [('x"y', '5"')]),
        ('a,b\n"x""y",""""\n', [('x"y', '"')]),
        ('a,b\n"x\\",2\n', [("x\\", "2")]),
        ("a,b\nNA,null\n", [("NA", "null")]),
        ("a,b\n007,1.50\n", [("007", "1.50")]),
        ("a,b\n", []),
        ("a,b", []),
        ("a,b\n1,2\n\n\r\n", [("1", "2")]),
        ("a,b\n\n\n", []),
        ("\ufeffa,b\n\ufeff1,2\n", [("\ufeff1", "2")]),
        ('"a","b"\n1\x00x,2\n', [("1\x00x", "2")]),
    ],
)
def test_rows_are_read_as_they_are_written(tmp_path: Path, text: str, rows: Rows) -> None:
    assert read(write(tmp_path, text)) == (["a", "b"], rows)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a\nx\n\ny\n", ["x", None, "y"]),
        ("a\nx\n\n", ["x", None]),
        ('a\n""\n" "', ["", " "]),
        ("a\n\n\n", [None, None]),
    ],
)
def test_a_blank_line_of_one_column_is_a_null(tmp_path: Path, text: str, rows: list[str | None]) -> None:
    assert read(write(tmp_path, text)) == (["a"], [(each,) for each in rows])


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("a;b,c;d", ["a", "b,c", "d"]),
        ("a\tb", ["a", "b"]),
        ("a|b|c,d", ["a", "b", "c,d"]),
        ('"a;x";"b"', ["a;x", "b"]),
        ("note", ["note"]),
        ("a;b|c", ["a;b|c"]),
        ('"a\nb",c', ["a\nb", "c"]),
    ],
)
def test_the_header_decides_the_delimiter(tmp_path: Path, header: str, names: list[str]) -> None:
    assert read(write(tmp_path, header + "\n")) == (names, [])


def test_texts_of_one_column_are_not_parted(tmp_path: Path) -> None:
    assert read(write(tmp_path, "note\na|b\nc;d\n")) == (["note"], [("a|b",), ("c;d",)])


@pytest.mark.parametrize(("given", "delimiter"), [("\\t", "\t"), ("~", "~"), (" ", " ")])
def test_a_delimiter_can_be_named(tmp_path: Path, given: str, delimiter: str) -> None:
    path = write(tmp_path, f"a,x{delimiter}b\n1{delimiter}2\n")
    assert read(path, read_options((), False, given)) == (["a,x", "b"], [("1", "2")])


@pytest.mark.parametrize("delimiter", [";;", '"', "\n", "§", "\0"])
def test_what_can_be_no_delimiter_is_refused(delimiter: str) -> None:
    with pytest.raises(UsageError, match="a delimiter is one ASCII character"):
        read_options((), False, delimiter)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("id,x\n1,2,3\n2,3,4\n", "line 2: 3 fields, where the header has 2"),
        ("id,x\n1,a\n2,b,c\n3,d\n", "line 3: 3 fields, where the header has 2"),
        ("id,x\n1,a\n2\n3,d\n", "line 3: 1 field, where the header has 2"),
        ("id,x\n1,a,\n", "line 2: 3 fields, where the header has 2"),
        ('id,x\n1,"a\nb"\r\n2,b\r3,4,5\n', "line 5: 3 fields, where the header has 2"),
        ("note\na\nb,c\n", "line 3: 2 fields, where the header has 1"),
        ("id,x\n1,a\n\n2,b\n", "line 3: a blank line among the rows"),
        ("id,x\n\n2,b\n", "line 2: a blank line among the rows"),
        ('id,x\n1,"a\n2,b\n', "line 2: a quotation mark opens a field and none closes it"),
        ('id,x\n1,a\n"x"y,2\n', "line 3: a quoted field is not followed by a delimiter or a line end"),
        ("id,x\n1,a\n2,\xe9\n".encode("latin-1"), "line 3: bytes that are not utf-8"),
        ("id,x\n1,\xe9\n".encode("utf-16"), "line 1: bytes that are not utf-8"),
        ("id,x\n1,a\n".encode("utf-16-le"), "line 1: the name of column 1 holds a NUL"),
        (b"id,x\n1,a\n2,\xc3", "line 3: bytes that are not utf-8"),
        ("", "is empty: a CSV begins with the names of its columns"),
        ("\ufeff", "is empty: a CSV begins with the names of its columns"),
        ("\nid,x\n", "line 1: a blank line where the names of the columns should be"),
        ("id,x,id\n", "line 1: columns 1 and 3 are both named id"),
        ("id,ID\n", "line 1: columns 1 and 2 are both named ID"),
        (",x\n0,1\n", "line 1: column 1 has no name"),
        ('id,"x\n', "line 1: the header cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(tmp_path: Path, data: bytes | str, message: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(UsageError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}{':' if message.startswith('is ') else ','} {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("encoding", "hint"), [("latin-1", "--encoding latin-1"), ("utf-16", "--encoding utf-16")])
def test_the_hint_names_the_encoding(tmp_path: Path, encoding: str, hint: str) -> None:
    path = write(tmp_path, "id,x\n1,é\n".encode(encoding))
    with pytest.raises(UsageError) as error:
        read(path)
    assert str(error.value.hint) == hint
    assert read(path, read_options((), False, encoding=encoding)) == (["id", "x"], [("1", "é")])


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8", "utf-8-sig", "utf-32"])
def test_encodings_are_read_by_pythons_name(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, 'ä;ß\r\n1;"ü\n"\r\n'.encode(encoding))
    assert read(path, read_options((), False, encoding=encoding)) == (["ä", "ß"], [("1", "ü\n")])


@pytest.mark.parametrize(
    ("encoding", "data", "line"),
    [("ascii", b"id\na\nb\n\xe9\n", 4), ("utf-16-le", "id\r\na\rb\n".encode("utf-16-le") + b"\x00\xd8\n\x00", 4)],
)
def test_bytes_of_another_encoding_are_found_where_they_stand(
    tmp_path: Path, encoding: str, data: bytes, line: int
) -> None:
    with pytest.raises(UsageError, match=f"line {line}: bytes that are not {encoding}"):
        read(write(tmp_path, data), read_options((), False, encoding=encoding))


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "base64", "a\0b"])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(UsageError, match="there is no encoding"):
        read_options((), False, encoding=encoding)


@pytest.mark.parametrize(("ending", "codec"), [(".gz", "gzip"), (".zst", "zstd")])
def test_packed_files_are_read_and_cut_ones_refused(tmp_path: Path, ending: str, codec: str) -> None:
    text = "id,x\n" + "".join(f"{n},{n * n}\n" for n in range(5_000))
    path = tmp_path / f"a.csv{ending}"
    with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, codec) as packed:
        packed.write(text.encode())
    assert read(path) == (["id", "x"], [(str(n), str(n * n)) for n in range(5_000)])
    whole = path.read_bytes()
    for kept in (*(whole[:-cut] for cut in (1, 4, 2_000, len(whole) - 5)), text.encode()):
        path.write_bytes(kept)
        with pytest.raises(UsageError, match=r"a\.csv\..*: cannot be read to its end"):
            read(path)


def test_a_field_may_be_longer_than_a_block(tmp_path: Path) -> None:
    long = 'x"\n,' * 5_000_000
    path = write(tmp_path, f'id,x\n1,a\n2,"{long.replace(chr(34), chr(34) * 2)}"\n3,b\n')
    assert read(path) == (["id", "x"], [("1", "a"), ("2", long), ("3", "b")])


def test_the_first_of_two_faults_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n" + "1,2\n" * 5 + "1,2,3\n" + "1,2\n" * 20 + '"x"y,2\n')
    with blocks_of(12, "a,b\n"), pytest.raises(UsageError, match="line 7: 3 fields"):
        read(path)


def test_null_tokens_are_null_unless_they_are_quoted(tmp_path: Path) -> None:
    path = write(tmp_path, 'a,b\nNA,"NA"\n-,\n')
    options = read_options(("NA", "-"), False)
    assert read(path, options) == (["a", "b"], [(None, "NA"), (None, None)])


def test_files_with_the_same_columns_share_a_copy(tmp_path: Path) -> None:
    files = [
        CsvFile(str(write(tmp_path, text, f"{n}.csv")), {})
        for n, text in enumerate(("a,b\n1,2\n", "b,c\n", "a,b\n3,4\n"))
    ]
    copies = copy_csv(files, tmp_path / "copies", AS_WRITTEN)
    assert [pq.read_table(each).to_pylist() for each in copies] == [[{"a": "1", "b": "2"}, {"a": "3", "b": "4"}], []]


def test_a_column_of_any_file_wins_over_that_of_a_folder(tmp_path: Path) -> None:
    files = [
        CsvFile(str(write(tmp_path, "id,Run\n1,own\n", "1.csv")), {"run": "1", "day": "x"}),
        CsvFile(str(write(tmp_path, "id\n2\n", "2.csv")), {"run": "2", "day": None}),
    ]
    copies = copy_csv(files, tmp_path / "copies", AS_WRITTEN)
    assert [pq.read_table(each).to_pylist() for each in copies] == [
        [{"id": "1", "Run": "own", "day": "x"}], [{"id": "2", "day": None}],
    ]  # fmt: skip


TEXTS = st.text(st.sampled_from([*",;|\t\"#\n\r '\\aä0.-", "\u2028", "\x85", "😀", "\ufeff"]), max_size=6)
VALUES = st.one_of(st.none(), TEXTS)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], Rows]:
    names = draw(st.lists(TEXTS.map(lambda text: text + "n"), min_size=1, max_size=4, unique_by=str.lower))
    return names, draw(st.lists(st.tuples(*[VALUES] * len(names)), max_size=8))


def write_as_python(rows: Rows, delimiter: str) -> list[str]:
    """Return rows as Python's csv module writes them, a null as an empty field and an empty text in quotes."""
    lines = []
    for row in rows:
        fields = []
        for value in row:
            field = io.StringIO(newline="")
            csv.writer(field, delimiter=delimiter).writerow(["", value])
            fields.append('""' if value == "" else field.getvalue()[1:-2])
        lines.append(delimiter.join(fields))
    return lines


@contextmanager
def blocks_of(size: int, header: str) -> Iterator[None]:
    """Cut files into blocks of some bytes, also what is read together with the header."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_records, "_BLOCK", size)
        if header:
            patch.setattr(csv_records, "_LONGEST_HEADER", len(header.encode()) + 2 + size)
        yield


BLOCKS = st.integers(4, 40)
"""Sizes in bytes of the blocks that a file is cut into: every place is the end of one."""
ENDS = st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1, max_size=4)


@given(tables(), st.sampled_from([*",;|\t~ "]), ENDS, BLOCKS)
def test_what_python_writes_is_read_back(
    table: tuple[list[str], Rows], delimiter: str, ends: list[str], size: int
) -> None:
    names, rows = table
    if len(names) == 1:
        ends = ends[:1]  # a blank line between \r and \n would be none
    lines = write_as_python([tuple(names), *rows], delimiter)
    text = "\ufeff" + "".join(line + ends[n % len(ends)] for n, line in enumerate(lines))
    with TemporaryDirectory() as folder, blocks_of(size, lines[0]):
        assert read(write(Path(folder), text), read_options((), False, delimiter)) == (names, rows)


def read_as_python(text: str) -> Rows | None:
    """Return the rows of a comma-separated text with at least one column, None where it is none."""
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (csv.Error, ValueError):
        return None
    if not all(header) or not header or len({*header}) < len(header):
        return None
    if len(header) == 1:
        rows = [row or [""] for row in rows]
    while rows and not rows[-1]:
        rows.pop()
    return [tuple(row) for row in rows] if all(len(row) == len(header) for row in rows) else None


@given(
    st.sampled_from(["", "a\n", "a,b\n", "a,b\r"]), st.text(st.sampled_from([*',,,"""\n\nx\r ']), max_size=30), BLOCKS
)
def test_any_text_is_read_as_python_reads_it_or_refused(header: str, text: str, size: int) -> None:
    with TemporaryDirectory() as folder, blocks_of(size, header):
        path = write(Path(folder), header + text)
        expected = read_as_python(header + text)
        if expected is None:
            with pytest.raises(UsageError):
                read(path, CsvOptions(delimiter=","))
        else:
            _, rows = read(path, CsvOptions(delimiter=","))
            assert [tuple(value or "" for value in row) for row in rows] == expected
