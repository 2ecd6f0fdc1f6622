"""The source that the tutorial writes: file by file as it is printed there."""

from __future__ import annotations

import re
from pathlib import Path

from dartifact.new_project import write_project
from dartifact.project import declared_sources
from dartifact.testing import check_project
from tests.conftest import PROJECT

TUTORIAL = (PROJECT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def test_the_project_of_the_tutorial_passes_its_own_test(tmp_path: Path) -> None:
    project = tmp_path / "weather"
    write_project(project, example=False, ui=False)
    written = re.findall(r'^```\S+ title="(\S+)"\n(.*?)^```$', TUTORIAL, re.MULTILINE | re.DOTALL)
    assert len(written) == 5
    for name, text in written:
        with (project / name).open("a", encoding="utf-8") as file:
            file.write(f"\n{text}" if name == "prefect.yaml" else text)
    assert list(declared_sources(project)) == ["heights"]
    check_project(project)
