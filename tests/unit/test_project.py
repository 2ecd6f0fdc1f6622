"""A project: found upward, its sources loaded by path whatever they are called, written anew, checked by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dartifact
from dartifact.demo.staging_chapter import copy_project
from dartifact.domain.errors import UsageError
from dartifact.new_project import write_project
from dartifact.project import declared_sources, list_source_names, load_source
from dartifact.settings import enter_project, find_project, read_deploy_values, read_settings
from dartifact.testing import check_project
from dartifact.wiring import open_source, prepare_home
from tests.conftest import PROJECT, Call

FLOW = """
import dartifact as da

SOURCE = da.Source(name={name!r}, key=("Station Nr", "größe"), ingestors=(da.Ingestor("bot"),), updated_at="geändert")


def extract(access):
    return da.RestSource(access.url, "/rows", paging=da.LinkPaging(rows="data", link="next"))


ingest = da.ingest_flow(SOURCE, extract)
"""
CONTRACT = """
dataset: lake/main/{name}
columns:
  - name: Station Nr
    data_type: varchar
  - name: größe
    data_type: date
    checks:
      - missing:
  - name: geändert
    data_type: timestamp with time zone
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return an empty project."""
    folder = tmp_path / "weather"
    write_project(folder, example=False, ui=False)
    return folder


def add_source(project: Path, name: str, text: str = FLOW) -> None:
    (project / "flows" / f"{name}.py").write_text(text.replace("{name!r}", repr(name)), encoding="utf-8")
    (project / "checks" / f"{name}.yml").write_text(CONTRACT.format(name=name), encoding="utf-8")


def test_the_nearest_project_upward_is_the_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = project / "dbt" / "models"
    (below / "pyproject.toml").write_text("[tool.other]\n")
    assert find_project(below) == project
    monkeypatch.chdir(below)
    settings = read_settings()
    assert (settings.project, settings.home) == (project, project / ".dartifact")
    assert settings.repository == "weather"


def test_outside_of_a_project_the_error_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no project in") as caught:
        read_settings()
    assert "dartifact init" in str(caught.value.hint)


def test_who_names_a_home_needs_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARTIFACT_HOME", str(tmp_path / "home"))
    assert read_settings().home == tmp_path / "home"
    with pytest.raises(UsageError, match="is no project"):
        declared_sources(read_settings().project)


def test_the_environment_and_an_option_name_a_project(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARTIFACT_PROJECT", str(project))
    assert read_settings().repository == "weather"
    other = tmp_path / "sea"
    write_project(other, example=False, ui=False)
    assert call("--project", str(other), "checks", "validate")[0] == 0
    assert (read_settings().project, read_settings().repository) == (other, "sea")
    assert call("--project", str(tmp_path / "nowhere"), "checks", "validate")[0] == 1


def test_a_broken_pyproject_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.dartifact\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"pyproject\.toml cannot be read"):
        read_settings()


def test_a_path_in_pyproject_is_meant_from_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = project / "pyproject.toml"
    file.write_text(file.read_text().replace("[tool.dartifact]\n", '[tool.dartifact]\nhome = "../lake"\n'))
    monkeypatch.chdir(project / "dbt")
    assert read_settings().home.resolve() == project.parent / "lake"


# A name that hides a module, is one of the engine's rooms or a word of SQL or Python is a name like any other.
@pytest.mark.parametrize(
    "name", ["production", "statistics", "prefect", "dartifact", "flows", "order", "class", "none"]
)
def test_a_source_may_be_called_like_anything(project: Path, name: str) -> None:
    add_source(project, name)
    source = declared_sources(project)[name]
    assert (source.name, source.key) == (name, ("Station Nr", "größe"))
    import statistics  # noqa: PLC0415

    assert statistics.mean([1, 3]) == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hand", "changes made by hand"),
        ("Orders", "small letters"),
        ("order-items", "small letters"),
        ("1st", "small letters"),
        ("größe", "small letters"),
        ("_orders", "small letters"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_the_reason(project: Path, name: str, reason: str) -> None:
    add_source(project, name)
    with pytest.raises(UsageError, match=reason):
        list_source_names(project)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "declares no SOURCE"),
        ("import nowhere\n", "cannot be loaded: line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("\n\nthis is no Python\n", "cannot be loaded: line 3: SyntaxError"),
        ("SOURCE = 1 / 0\n", "cannot be loaded: line 1: ZeroDivisionError"),
        (FLOW.replace("{name!r}", "'other'"), "declares the source other"),
        (FLOW.replace("extract", "read").replace("SOURCE, read", "SOURCE, read"), "has no function extract"),
    ],
)
def test_a_source_file_that_cannot_be_loaded_is_named_with_its_line(project: Path, text: str, said: str) -> None:
    add_source(project, "orders", text)
    with pytest.raises(UsageError, match=said):
        load_source("orders", project)


def test_a_source_file_is_loaded_again_once_it_is_mended(project: Path) -> None:
    add_source(project, "orders", "x = 1\n")
    with pytest.raises(UsageError):
        load_source("orders", project)
    (project / "flows" / "orders.py").unlink()
    with pytest.raises(UsageError, match=r"no source file flows/orders\.py"):
        load_source("orders", project)


def test_two_projects_in_one_process_keep_their_sources_apart(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "sea"
    write_project(other, example=False, ui=False)
    add_source(project, "orders")
    add_source(other, "orders", FLOW.replace('"bot"', '"boat"'))
    for _ in range(2):
        names = [declared_sources(each)["orders"].ingestors[0].name for each in (project, other)]
        assert names == ["bot", "boat"]


def test_a_source_without_a_url_is_refused_and_the_hint_names_the_variable(project: Path) -> None:
    settings = read_settings(project=project, home=project / "home")
    with pytest.raises(UsageError, match="no URL is set for orders") as caught, open_source(settings, "orders"):
        pass
    assert """DARTIFACT_SOURCE_URLS='{"orders": "https://..."}'""" in str(caught.value.hint)


def test_a_flow_run_stands_in_the_project_of_its_machine(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert enter_project(str(project)) == {"directory": str(project)}
    monkeypatch.setenv("DARTIFACT_PROJECT", str(tmp_path))
    assert enter_project(str(project)) == {"directory": str(tmp_path)}
    monkeypatch.setenv("DARTIFACT_PROJECT", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="not on this machine"):
        enter_project(str(project))
    monkeypatch.setenv("DARTIFACT_PROJECT", str(project))
    assert read_deploy_values()["project"] == str(project)


def test_the_example_is_the_files_of_this_repository(tmp_path: Path) -> None:
    written = write_project(tmp_path, example=True, ui=True)
    own = {"pyproject.toml", ".gitignore", "README.md", "tests/test_project.py"}
    assert own < set(written)
    tracked = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    folders = ("flows/", "checks/", "dbt/", "ui/", "prefect.yaml")
    assert {path for path in tracked.splitlines() if path.startswith(folders)} == set(written) - own
    for path in set(written) - own:
        assert (tmp_path / path).read_bytes() == (PROJECT / path).read_bytes()


def test_nothing_is_written_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "prefect.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"has prefect\.yaml already: nothing is written"):
        write_project(tmp_path, example=False, ui=False)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["README.md", "prefect.yaml"]
    (tmp_path / "prefect.yaml").unlink()
    assert "README.md" not in write_project(tmp_path, example=False, ui=False)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_new_project_passes_its_own_test_and_with_a_source_it_needs_a_model(project: Path) -> None:
    check_project(project)
    add_source(project, "orders")
    with pytest.raises(UsageError, match=r"weather is not ready:(\n.*)*\n  dbt/ has no models"):
        check_project(project)


def test_check_project_names_what_no_deployment_runs_and_what_cannot_be_built(project: Path) -> None:
    add_source(project, "production")
    model = project / "dbt" / "models" / "marts" / "tallest.sql"
    (project / "dbt" / "models" / "sources.yml").write_text(
        "sources:\n  - name: raw\n    schema: raw\n    tables:\n      - name: production\n"
    )
    model.write_text("select nonsense from {{ source('raw', 'production') }}")
    with pytest.raises(UsageError) as caught:
        check_project(project)
    said = caught.value.message
    assert "no deployment runs the ingestor bot of production" in said
    assert "dbt model tallest" in said
    assert "nonsense" in said
    deployments = project / "prefect.yaml"
    deployments.write_text(
        deployments.read_text()
        + "\n  - name: ingest\n    entrypoint: flows/production.py:ingest\n    parameters: { ingestor: bot }\n"
        + "    tags: [ingest]\n    work_pool: *ingestors\n"
    )
    model.write_text(
        "select \"Station Nr\", max(\"größe\") as tallest from {{ source('raw', 'production') }} group by 1"
    )
    check_project(project)


def test_the_package_loads_a_name_when_it_is_used() -> None:
    code = "import sys, dartifact; assert not [each for each in sys.modules if each.startswith('dartifact.')]"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    assert all(hasattr(dartifact, name) for name in dartifact.__all__)
    assert set(dartifact.__all__) <= set(dir(dartifact))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dartifact.nothing  # noqa: B018


def test_the_project_that_the_demo_changes_has_the_sources_that_a_station_loads(tmp_path: Path) -> None:
    changed = copy_project(PROJECT, tmp_path / "project")
    assert set(declared_sources(changed)) == set(declared_sources(PROJECT))


def test_a_home_that_others_could_look_into_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    for _ in range(2):
        prepare_home(home)
        assert home.stat().st_mode & 0o777 == 0o700
    prepare_home(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_pages_of_a_project_come_with_how_they_are_served(tmp_path: Path) -> None:
    assert {"ui/.streamlit/config.toml", "ui/icon.svg"} <= set(write_project(tmp_path, example=False, ui=True))
