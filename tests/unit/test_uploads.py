"""Uploaded files: read within limits, and refused in one line beyond them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dartifact.domain.errors import UsageError
from ui import uploads
from ui.uploads import read_upload


def parquet(table: pa.Table, **options: object) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(table, out, **options)
    return bytes(out.getvalue().to_pybytes())


def test_rows_of_both_kinds_of_file_are_read(tmp_path: Path) -> None:
    assert read_upload("a.csv", b"a,b\n'=1,2\n", tmp_path) == [{"a": "=1", "b": "2"}]
    assert read_upload("a.parquet", parquet(pa.table({"a": ["'=1"]})), tmp_path) == [{"a": "'=1"}]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"), [("a.parquet", b"junk"), ("a.zip", b"PK"), ("a.csv", b'a,b\n"1,2\n\x00\xff')]
)
def test_what_is_no_table_is_refused_by_the_name_it_has_for_people(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(UsageError) as refused:
        read_upload(name, content, tmp_path)
    assert name in refused.value.message
    assert str(tmp_path) not in refused.value.message


def test_a_large_file_and_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = parquet(pa.table({"a": pa.nulls(3_000_000, pa.int8())}))
    assert len(bomb) < 10_000
    with pytest.raises(UsageError, match="has 3,000,000 rows; at most 1,000,000"):
        read_upload("a.parquet", bomb, tmp_path)
    monkeypatch.setattr(uploads, "MOST_BYTES", 1024**2)
    with pytest.raises(UsageError, match="larger than 1 MB"):
        read_upload("a.csv", b"a\n" + b"1" * 1024**2, tmp_path)


@pytest.mark.parametrize("is_nested", [False, True], ids=["text", "list"])
def test_a_small_file_that_is_large_once_decoded_is_refused(tmp_path: Path, is_nested: bool) -> None:
    text = "x" * 1_000_000  # 100,000 times
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array([text]))
    column: pa.Array = values
    if is_nested:
        column = pa.ListArray.from_arrays(pa.array([0, 100_000], pa.int32()), values)
    bomb = parquet(pa.table({"a": column}), use_dictionary=True, compression="zstd")
    assert len(bomb) < 2_000_000
    with pytest.raises(UsageError, match="too large once it is decoded"):
        read_upload("a.parquet", bomb, tmp_path)
