"""`dartifact diff` of files, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb

DARTIFACT = Path(sys.executable).with_name("dartifact")


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DARTIFACT_HOME": str(home / "home")}
    command = [str(DARTIFACT), "diff", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


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
        "duplicate_keys_base": 0, "duplicate_keys_candidate": 0,
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
