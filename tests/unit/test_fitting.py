"""Whether sources fit their contracts, and that all of it is told at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dartifact.adapters.contracts.contracts import Contract, parse_contract
from dartifact.adapters.lakefs.calls import LakeAccess
from dartifact.commands.upkeep.doctor import Configuration, examine
from dartifact.commands.upkeep.fitting import find_misfits, require_fitting
from dartifact.commands.upkeep.validate import validate_checks
from dartifact.domain.errors import LakeUnavailable, UsageError
from dartifact.domain.sources import Ingestor, Reference, Source
from dartifact.new_project import write_project
from dartifact.project import declared_sources, load_each_source
from dartifact.testing import check_project
from tests.conftest import PROJECT

AIRPORTS = Source("airports", key=("faa",), ingestors=(Ingestor("bot"),), updated_at="changed")


def contract(name: str, /, **columns: str) -> Contract:
    given = "".join(f"  - {{name: {column}, data_type: {kind}}}\n" for column, kind in columns.items())
    return parse_contract(
        f"dataset: lake/main/{name}\ncolumns:\n{given}checks: [{{row_count: }}]\n", Path(f"{name}.yml")
    )


CONTRACT = contract("airports", faa="varchar", name="varchar", country="varchar", changed="timestamp with time zone")
COUNTRIES = contract("countries", code="varchar", number="bigint")


def test_source_that_fits_has_no_fault() -> None:
    source = replace(AIRPORTS, personal=("name",), references=(Reference("country", "countries", "code"),))
    assert find_misfits(source, CONTRACT, {"countries": COUNTRIES}) == ()
    require_fitting(source, CONTRACT)


def test_all_that_does_not_fit_is_told() -> None:
    source = replace(
        AIRPORTS,
        key=("FAA", "zone"),
        updated_at="updated_at",
        personal=("owner",),
        references=(
            Reference("land", "countries", "code"),
            Reference("country", "countries", "id"),
            Reference("country", "countries", "number"),
            Reference("country", "lands", "code"),
        ),
    )
    assert find_misfits(source, CONTRACT, {"countries": COUNTRIES}) == (
        "airports: key 'FAA' is not a column of checks/airports.yml; did you mean 'faa'?",
        "airports: key 'zone' is not a column of checks/airports.yml",
        "airports: updated_at 'updated_at' is not a column of checks/airports.yml",
        "airports: personal 'owner' is not a column of checks/airports.yml",
        "airports: reference 'land' to countries.code is not a column of checks/airports.yml",
        "airports: reference 'country' to countries.id: not a column of checks/countries.yml",
        "airports: reference 'country' is varchar, countries.number is bigint: give them one type",
        "airports: reference 'country' to lands.code: there is no dataset lands",
    )
    with pytest.raises(UsageError) as caught:
        require_fitting(source, CONTRACT)
    assert caught.value.message.count("airports: ") == 5  # what others declare is not asked before a claim


def test_times_are_stamps() -> None:
    assert find_misfits(replace(AIRPORTS, updated_at="name"), CONTRACT) == (
        "airports: updated_at 'name' is varchar in checks/airports.yml: it has to be timestamp with time zone",
    )


def test_committed_sources_fit_their_contracts() -> None:
    assert [look for look in validate_checks(PROJECT, load_each_source(PROJECT)) if not look.ok] == []
    assert set(load_each_source(PROJECT)) == set(declared_sources(PROJECT)) == {"customers", "orders"}


FLOW = """
import dartifact as da

SOURCE = da.Source(name={name!r}, key=("id",), ingestors=(da.Ingestor("bot"),), personal=("phone",))


def extract(access):
    return da.RestSource(access.url, "/rows", paging=da.LinkPaging(rows="data", link="next"))
"""
TEXT = "dataset: lake/main/{name}\ncolumns:\n  - {{name: id, data_type: {type}, checks: [{{missing: }}]}}\n"


def test_no_fault_of_a_project_hides_another(tmp_path: Path) -> None:
    project = tmp_path / "weather"
    write_project(project, example=False, ui=False)
    for name, kind in (
        ("broken", "bigint"),
        ("bad", "int"),
        ("unfit", "bigint"),
        ("Odd", "bigint"),
        ("alone", "bigint"),
    ):
        (project / "checks" / f"{name}.yml").write_text(TEXT.format(name=name, type=kind))
        (project / "flows" / f"{name}.py").write_text(FLOW.replace("{name!r}", repr(name)))
    (project / "flows" / "broken.py").write_text("import nowhere\n")
    (project / "flows" / "alone.py").unlink()
    (project / "checks" / "bad.drift.yml").write_text("columns: {id: {nuls: {}}}\n")
    looks = validate_checks(project, load_each_source(project))
    told = [(look.file, look.found) for look in looks if not look.ok]
    assert told == [
        ("checks/bad.drift.yml", "columns.id does not know 'nuls'"),
        ("checks/bad.yml", "columns.id.data_type: unknown type 'int': did you mean 'bigint'?"),
        ("flows/Odd.py", "a source cannot be called 'Odd': a name is small letters, digits and _ after a first letter"),
        ("flows/alone.py", "checks/alone.yml has no source file flows/alone.py"),
        (
            "flows/broken.py",
            "flows/broken.py cannot be loaded: line 1: ModuleNotFoundError: No module named 'nowhere'",
        ),
        ("flows/unfit.py", "unfit: updated_at 'updated_at' is not a column of checks/unfit.yml"),
        ("flows/unfit.py", "unfit: personal 'phone' is not a column of checks/unfit.yml"),
    ]
    assert set(load_each_source(project, written_only=True)) == {"bad", "broken", "unfit", "Odd"}
    with pytest.raises(UsageError) as caught:
        check_project(project)
    assert all(found in caught.value.message for _, found in told)


@contextmanager
def no_lake() -> Iterator[LakeAccess]:
    raise LakeUnavailable("there is no lake")
    yield


def test_doctor_tells_all_of_it(tmp_path: Path) -> None:
    project = tmp_path / "weather"
    write_project(project, example=False, ui=False)
    for name in ("broken", "unfit"):
        (project / "checks" / f"{name}.yml").write_text(TEXT.format(name=name, type="bigint"))
        (project / "flows" / f"{name}.py").write_text(FLOW.replace("{name!r}", repr(name)))
    (project / "flows" / "broken.py").write_text("import nowhere\n")
    (project / "checks" / "bad.yml").write_text("dataset: lake/main/bad\ncolumns: [{name: id, data_type: int}]\n")
    findings = examine(
        Configuration(project, tmp_path, f"sqlite:///{tmp_path / 'ledger.db'}", "weather"),
        open_access=no_lake,
        load_sources=lambda: load_each_source(project),
    )
    told = [(each.what, each.found) for each in findings if not each.ok and each.what not in ("disk", "ledger")]
    assert told == [
        ("contract checks/bad.yml", "columns.id.data_type: unknown type 'int': did you mean 'bigint'?"),
        ("contract checks/bad.yml", "the contract checks nothing: give it at least one check"),
        (
            "sources",
            "checks/bad.yml has no source file flows/bad.py; flows/broken.py cannot be loaded: line 1: "
            "ModuleNotFoundError: No module named 'nowhere'; "
            "unfit: updated_at 'updated_at' is not a column of checks/unfit.yml; "
            "unfit: personal 'phone' is not a column of checks/unfit.yml",
        ),
        ("lake", "there is no lake"),
    ]
