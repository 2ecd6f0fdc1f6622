"""`dartifact diff` of files, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

DARTIFACT = Path(sys.executable).with_name("dartifact")


def run(home: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DARTIFACT_HOME": str(home / "home")}
    command = [str(DARTIFACT), "diff", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)


def write_pair(folder: Path) -> tuple[str, ...]:
    (folder / "a.csv").write_text("id,v\n1,x\n2,y\n")
    (folder / "b.csv").write_text("id,v\n2,z\n3,y\n")
    return "--base", str(folder / "a.csv"), "--candidate", str(folder / "b.csv"), "--key", "id"


def test_different_files_end_with_two_and_one_document(tmp_path: Path) -> None:
    out = tmp_path / "cells.parquet"
    done = run(tmp_path, *write_pair(tmp_path), "-o", "json", "--rows", str(out))
    assert done.returncode == 2, done.stderr
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert document["rows"] == {
        "base": 2, "candidate": 2, "added": 1, "removed": 1, "changed": 1, "unchanged": 0,
        "duplicate_keys_base": 0, "duplicate_keys_candidate": 0, "null_keys_base": 0, "null_keys_candidate": 0,
    }  # fmt: skip
    cells = duckdb.execute(f"SELECT * FROM '{out}' ORDER BY key").fetchall()
    assert cells == [("1", "v", "x", None, "removed"), ("2", "v", "y", "z", "changed"), ("3", "v", None, "y", "added")]


def test_the_same_file_ends_with_zero(tmp_path: Path) -> None:
    _, a, *_ = write_pair(tmp_path)
    assert run(tmp_path, "--base", a, "--candidate", a).returncode == 0


def test_what_is_no_diff_is_refused_with_one_line(tmp_path: Path) -> None:
    for arguments in ((), ("--base", "a.csv"), (*write_pair(tmp_path), "--ignore", "nope"),
                      (*write_pair(tmp_path), "--rows", str(tmp_path / "no" / "folder.parquet"))):  # fmt: skip
        done = run(tmp_path, *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("dartifact: ")
        assert "Traceback" not in done.stderr


def test_rows_that_cannot_be_written_are_refused_before_anything_is_compared(tmp_path: Path) -> None:
    for out in (tmp_path / "cells.xlsx", tmp_path / "no" / "cells.csv"):
        done = run(tmp_path, *write_pair(tmp_path), "--rows", str(out))
        assert done.returncode == 1
        assert str(out) in done.stderr
        assert not (tmp_path / "home").exists()


def test_every_output_is_complete_and_ends_with_the_same_code(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    ends = {"text": "2: y → z", "markdown": "`2: y → z` |", "html": "</html>", "json": "}"}
    for output, end in ends.items():
        done = run(tmp_path, *pair, "-o", output)
        assert (done.returncode, done.stderr) == (2, "")
        assert done.stdout.rstrip().endswith(end)


def run_in(folder: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    """Run with the names of files as seen from their folder."""
    return run(folder, *arguments.split(), cwd=folder)


def write_files(folder: Path) -> None:
    texts = {
        "a.csv": "id,v\n1,x\n", "ragged.csv": "id,v\n1,x\n2,y,z\n", "latin.csv": "id;v\n1;é\n",
        "x/t.csv": "id,v\n1,x\n", "x/old.csv": "id\n1\n", "y/t.csv": "id,v\n1,x\n", "y/new.csv": "id\n1\n",
        "z/t.csv": "id,v\n1,y\n", "z/u.csv": "id\n1\n", "none/readme.md": "",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode("latin-1"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--base a.csv --candidate b.csv", "there is no file or folder b.csv"),
        ("--base a.csv --candidate nope", "there is no file or folder nope; a file is compared with files only"),
        ("--base main --candidate a.csv", "there is no file or folder main; a file is compared with files only"),
        ("--base x --candidate main", "there is no file or folder main; a file is compared with files only"),
        ("--base x --candidate a.csv", "x is a folder and a.csv is none"),
        ("--base x --candidate none", "none holds no Parquet or CSV file"),
        ("--base x --candidate y --table new", "there is no table new in x"),
        ("--base a.csv --candidate ragged.csv", "ragged.csv, line 3: 3 fields, where the header has 2"),
        ("--base latin.csv --candidate a.csv", "latin.csv, line 2: bytes that are not utf-8"),
        ("--base a.csv --candidate a.csv --tolerance 1", "--tolerance is for numbers, and a CSV holds texts"),
        ("--base a.csv --candidate a.csv --encoding klingon", "there is no encoding klingon"),
        ("--base a.csv --candidate a.csv --delimiter ;;", "a delimiter is one ASCII character"),
        ("--base main --candidate production --delimiter ;", "--null-token, --infer-types, --delimiter and --encoding"),
    ],
)
def test_sides_that_are_no_files_start_no_lake(tmp_path: Path, arguments: str, message: str) -> None:
    write_files(tmp_path)
    done = run_in(tmp_path, arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"dartifact: {message}")
    assert {each.name for each in (tmp_path / "home").glob("*")} <= {"diffs"}


def test_encoding_and_delimiter_can_be_named(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / "utf8.csv").write_text("id~v\n1~é\n", encoding="utf-8")
    same = run(
        tmp_path,
        *["--base", "latin.csv", "--candidate", "latin.csv", "--encoding", "latin-1", "--key", "v"],
        cwd=tmp_path,
    )
    assert same.returncode == 0, same.stderr
    same = run(
        tmp_path, *["--base", "utf8.csv", "--candidate", "utf8.csv", "--delimiter", "~", "--key", "v"], cwd=tmp_path
    )
    assert same.returncode == 0, same.stderr


def test_folders_are_compared_table_by_table(tmp_path: Path) -> None:
    write_files(tmp_path)
    done = run_in(tmp_path, "--base x --candidate y -o json")
    assert done.returncode == 2, done.stderr
    document = json.loads(done.stdout)
    assert [(each["table"], each["same"]) for each in document["tables"]] == [("t", True)]
    assert (document["tables_added"], document["tables_removed"], document["same"]) == (["new"], ["old"], False)
    told = run_in(tmp_path, "--base x --candidate y").stdout
    assert "t: x/t.csv → y/t.csv: same" in told
    assert told.startswith("tables added: new\ntables removed: old\n")
    one = run_in(tmp_path, "--base x --candidate y --table t -o json")
    assert (one.returncode, json.loads(one.stdout)["table"]) == (0, "t")
    assert "tables added: `u`" in run_in(tmp_path, "--base y --candidate z -o markdown").stdout
