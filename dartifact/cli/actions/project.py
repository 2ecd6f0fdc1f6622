"""The verb `init`."""

from __future__ import annotations

from pathlib import Path

from dartifact.cli.frame import answer
from dartifact.cli.options import Output
from dartifact.new_project import write_project


def init(folder: Path, example: bool, ui: bool, output: Output) -> None:
    """Write a new project."""
    written = write_project(folder, example=example, ui=ui)

    def format_written() -> str:
        enter = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
        following = "dartifact demo --once" if example else "dartifact checks validate"
        return f"wrote {len(written)} files to {folder.resolve()}\nnext: {enter}{following}"

    answer({"project": str(folder.resolve()), "files": list(written)}, output, format_written)
