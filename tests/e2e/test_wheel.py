"""The wheel as a user has it: installed into an empty environment, a project in a folder of its own.

The environment has the engine's dependencies by a path file, and nothing of the checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.support.heights import measure, serving_heights, write_heights

pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.timeout(900)]

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME")
OWN_TEST = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")


class Environment:
    """An empty virtual environment with the wheel in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))

    def run(self, where: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name in KEPT} | environment
        env["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{env['PATH']}"
        return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)

    def must(self, where: Path, *command: str, **environment: str) -> str:
        done = self.run(where, *command, **environment)
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Build the wheel and install it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    environment = Environment(folder / "venv")
    environment.must(folder, "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (environment.site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


def test_only_the_engine_lands_in_site_packages(installed: Environment) -> None:
    names = {each.name for each in installed.site.iterdir()} - {
        "dependencies.pth",
        "pip",
        "setuptools",
        "pkg_resources",
    }
    own = {name for name in names if not name.endswith((".dist-info", "_distutils_hack", "distutils-precedence.pth"))}
    assert own - {"__pycache__"} == {"dartifact"}
    assert "wheel" in installed.must(installed.folder, "python", "-c", "import dartifact; print(dartifact.__file__)")


def test_the_example_runs_from_an_empty_folder(installed: Environment, tmp_path: Path) -> None:
    nowhere = installed.run(tmp_path, "dartifact", "status")
    assert (nowhere.returncode, "dartifact init" in nowhere.stderr) == (1, True), nowhere.stderr
    installed.must(tmp_path, "dartifact", "init", "shop", "--example")
    shop = tmp_path / "shop"
    played = installed.must(
        shop, "dartifact", "demo", "--once", "--orders", "50", "-o", "json", DARTIFACT_SOAK_SECONDS="0.2"
    )
    story = json.loads(played)
    assert story["ok"], story
    installed.must(shop, "dartifact", "checks", "validate")
    assert "1 passed" in installed.must(
        shop, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"
    )
    status = json.loads(installed.must(shop / "dbt", "dartifact", "status", "-o", "json"))
    assert status["production"]["live"], "the project is not found from a folder below it"
    assert (shop / ".dartifact" / "ledger.db").is_file()


def test_a_source_of_other_names_and_key_types_gets_through_to_its_reader(
    installed: Environment, tmp_path: Path
) -> None:
    installed.must(tmp_path, "dartifact", "init", "weather")
    project = tmp_path / "weather"
    assert "1 passed" in installed.must(project, *OWN_TEST)
    write_heights(project)
    installed.must(project, "dartifact", "checks", "validate")
    assert "1 passed" in installed.must(project, *OWN_TEST)

    refused = installed.run(project, "dartifact", "ingest", "production")
    assert refused.returncode == 1
    assert "no URL is set for production" in refused.stderr

    with serving_heights() as url:
        urls = json.dumps({"production": url})
        brought = json.loads(
            installed.must(project, "dartifact", "ingest", "production", "-o", "json", DARTIFACT_SOURCE_URLS=urls)
        )
    assert [(run["phase"], run["rows"]) for run in brought] == [("queued", len(measure(3)))]
    for verb in ("integrate", "stage", "promote"):
        installed.must(project, "dartifact", verb)
    live = json.loads(installed.must(project, "dartifact", "resolve", "-o", "json"))
    assert live["commit"]
    read = "import dartifact as da; print(da.read('tides').sort_values('station').to_dict('records'))"
    highest = [
        {"station": "A 1", "highest": 300},
        {"station": "B 2", "highest": 301},
        {"station": "Ç 3", "highest": 302},
    ]
    assert installed.must(project, "python", "-c", read) == f"{highest}\n"
    batch = f"import dartifact as da; print(len(da.run({brought[0]['run_id']!r}).batch()), len(da.read('production')))"
    assert installed.must(project, "python", "-c", batch) == "9 9\n"
