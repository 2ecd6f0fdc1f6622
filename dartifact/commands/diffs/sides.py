"""What the two sides of a diff of files name: a file, a glob or a folder of tables."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from dartifact.adapters.lakefs.lake import MAIN, PRODUCTION, STAGING
from dartifact.adapters.tables.csv_files import ENDINGS, is_csv
from dartifact.domain.errors import NotFound, UsageError

_PARQUET = ".parquet"
_NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class TableFiles:
    """The files that hold one side of a table, all CSV or all Parquet, and what people call them.

    `folders` are, file by file, the columns that its folders `k=v` add: those that a wildcard of a glob stands for.
    """

    label: str
    files: tuple[str, ...]
    folders: tuple[Mapping[str, str | None], ...]

    @property
    def are_csv(self) -> bool:
        """Tell whether the files are CSV."""
        return is_csv(self.files[0])


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables that two sides share, by name, and those of one side only. Without folders the one has no name."""

    shared: Mapping[str, tuple[TableFiles, TableFiles]]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def are_files(base: str, candidate: str) -> bool:
    """Tell whether two sides are files, globs or folders and no references of the lake: one that is says it of both."""
    return any(map(_is_path, (base, candidate)))


def find_tables(base: str, candidate: str, table: str = "") -> Tables:
    """Return the tables of two files, globs or folders; of folders, where one is named, that table only.

    NotFound: a side or the table does not exist. UsageError: a folder against a file, a folder without tables, a table
    of a file.
    """
    folders = [Path(side).is_dir() for side in (base, candidate)]
    if not any(folders):
        if table:
            raise UsageError(f"--table {table} is for folders and the lake, and these are files")
        return Tables({"": (find_files(base), find_files(candidate))})
    if not all(folders):
        file, folder = (candidate, base) if folders[0] else (base, candidate)
        find_files(file)
        raise UsageError(f"{folder} is a folder and {file} is none", hint="compare folders, or name the file in it")
    mine, theirs = _list_tables(base), _list_tables(candidate)
    if table and not {table} <= {*mine} & {*theirs}:
        lacking = candidate if table in mine else base
        known = theirs if table in mine else mine
        raise NotFound(f"there is no table {table} in {lacking}", hint=f"there are {', '.join(sorted(known))}")
    if table:
        return Tables({table: (mine[table], theirs[table])})
    return Tables(
        {name: (mine[name], theirs[name]) for name in sorted({*mine} & {*theirs})},
        added=tuple(sorted({*theirs} - {*mine})),
        removed=tuple(sorted({*mine} - {*theirs})),
    )


def find_files(pattern: str) -> TableFiles:
    """Return the files of one name or glob.

    NotFound: there are none. UsageError: they are of two kinds.
    """
    if Path(pattern).is_file():
        return TableFiles(pattern, (pattern,), ({},))
    files = tuple(each for each in sorted(glob.glob(pattern, recursive=True)) if Path(each).is_file())
    if not files:
        raise _describe_missing(pattern)
    if len({is_csv(each) for each in files}) > 1:
        raise UsageError(f"{pattern} names both CSV and Parquet files", hint="compare one kind at a time")
    return TableFiles(pattern, files, tuple(read_folders(pattern, each) for each in files))


def read_folders(pattern: str, path: str) -> dict[str, str | None]:
    """Return the values of the folders `k=v` of a path that a wildcard of its glob stands for."""
    asked, found = Path(pattern).parts[:-1], Path(path).parts[:-1]
    front = next((n for n, part in enumerate(asked) if part == "**"), len(asked))
    back = next((n for n, part in enumerate(reversed(asked)) if part == "**"), 0)
    middle = found[front : len(found) - back] if front < len(asked) else ()
    pairs = [*zip(asked[:front], found, strict=False), *(("**", part) for part in middle)]
    if front < len(asked) and back:
        pairs += zip(asked[-back:], found[-back:], strict=True)
    spanned = (part.partition("=") for pattern_part, part in pairs if glob.has_magic(pattern_part))
    return {name: None if value == _NULL_FOLDER else unquote(value) for name, is_pair, value in spanned if is_pair}


def _is_path(name: str) -> bool:
    if os.sep in name or glob.has_magic(name) or name.lower().endswith((_PARQUET, *ENDINGS)):
        return True
    return name not in ("", MAIN, STAGING, PRODUCTION) and Path(name).exists()


def _describe_missing(name: str) -> NotFound:
    if glob.has_magic(name):
        return NotFound(f"there is no file {name}", hint="quote a glob so that the shell leaves it alone")
    if _is_path(name):
        return NotFound(f"there is no file or folder {name}")
    return NotFound(
        f"there is no file or folder {name}; a file is compared with files only",
        hint="compare two references of the lake, or write the table to a Parquet file first",
    )


def _list_tables(folder: str) -> dict[str, TableFiles]:
    """Return the tables of a folder: the Parquet and CSV files right in it, by name without ending."""
    found: dict[str, TableFiles] = {}
    for path in sorted(each for each in Path(folder).iterdir() if each.is_file()):
        ending = _find_ending(path.name)
        name = path.name.removesuffix(ending) if ending else ""
        if not name:
            continue
        if name in found:
            raise UsageError(f"{folder} holds two files of the table {name}", hint="compare the files themselves")
        found[name] = TableFiles(str(path), (str(path),), ({},))
    if not found:
        raise UsageError(f"{folder} holds no Parquet or CSV file", hint=f"name those below it: '{folder}/**/*.parquet'")
    return found


def _find_ending(name: str) -> str:
    """Return the longest ending of a name that says what the file is, as it is written."""
    endings = [ending for ending in (_PARQUET, *ENDINGS) if name.lower().endswith(ending)]
    return name[len(name) - max(map(len, endings)) :] if endings else ""
