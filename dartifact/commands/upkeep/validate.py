"""Every file of `checks/`, read as the gates will read it, and every source beside its contract, without a lake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dartifact.adapters.contracts.contracts import Contract, checks_of, load_contract
from dartifact.adapters.contracts.drift_file import load_drift_rules
from dartifact.adapters.contracts.faults import FileRefused
from dartifact.commands.upkeep.fitting import find_misfits
from dartifact.domain.errors import UsageError
from dartifact.domain.sources import Source

_DRIFT = ".drift.yml"


@dataclass(frozen=True, slots=True)
class CheckFile:
    """One file: what it holds, or one thing that is wrong with it and what to do; a file has one for each fault."""

    file: str
    ok: bool
    found: str
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def validate_checks(project: Path, sources: Mapping[str, Source | UsageError]) -> tuple[CheckFile, ...]:
    """Read all contracts, drift files and SQL checks of a project, and compare its sources with their contracts.

    A source that could not be loaded stands as its error. UsageError: the project has no `checks/`.
    """
    folder = project / "checks"
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint="set DARTIFACT_PROJECT to the checkout")
    files = sorted(each for each in folder.rglob("*") if each.is_file() and each.suffix in (".yml", ".yaml", ".sql"))
    found = [look for each in files for look in look_at(each, str(each.relative_to(project)))]
    return (*found, *look_at_sources(project, sources))


def look_at(path: Path, name: str) -> Iterator[CheckFile]:
    """Tell what a file of checks holds, or each of its faults."""
    try:
        yield CheckFile(name, True, _read(path))
    except FileRefused as error:
        for fault in error.faults:
            yield CheckFile(name, False, fault.text, fault.hint)
    except UsageError as error:
        yield CheckFile(name, False, error.message.removeprefix(f"{path}: "), str(error.hint))


def look_at_sources(project: Path, sources: Mapping[str, Source | UsageError]) -> Iterator[CheckFile]:
    """Tell of each source that cannot be loaded and of each thing in which one does not fit the contracts.

    Contracts that are refused are left out: that is told of their files.
    """
    contracts = _load_contracts(project)
    for name, source in sources.items():
        file = f"flows/{name}.py"
        if isinstance(source, UsageError):
            yield CheckFile(file, False, source.message, str(source.hint))
            continue
        contract = contracts.get(name)
        if contract is None:
            continue
        # a reference may lead to a contract that was refused
        known = contracts if len(contracts) == len(_contract_files(project)) else None
        faults = find_misfits(source, contract, known)
        for fault in faults:
            yield CheckFile(file, False, fault, f"correct {file} or checks/{name}.yml")
        if not faults:
            yield CheckFile(file, True, f"source {name} fits its contract")


def _contract_files(project: Path) -> list[Path]:
    return [path for path in sorted((project / "checks").glob("*.yml")) if not path.name.endswith(_DRIFT)]


def _load_contracts(project: Path) -> dict[str, Contract]:
    contracts = {}
    for path in _contract_files(project):
        try:
            contracts[path.stem] = load_contract(path)
        except UsageError:
            continue
    return contracts


def _read(path: Path) -> str:
    """Say what a file of checks holds; UsageError when it would not be honoured."""
    if path.suffix == ".sql":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read: {error}") from error
        if not text.strip():
            raise UsageError(f"{path}: is empty")
        return "an SQL check"
    if path.suffix == ".yaml":
        raise UsageError(f"{path}: is never read: the gates read .yml", hint=f"name it {path.stem}.yml")
    if path.name.endswith(_DRIFT):
        return _read_drift(path)
    contract = load_contract(path)
    return f"a contract of {len(contract.columns)} columns with {len(checks_of(contract))} checks"


def _read_drift(path: Path) -> str:
    contract = path.with_name(path.name.removesuffix(_DRIFT) + ".yml")
    if not contract.is_file():
        raise UsageError(f"{path}: there is no contract {contract.name} beside it")
    try:
        columns = [name for name, _ in load_contract(contract).columns]
    except UsageError:
        columns = None  # the faults of the contract are told of its own file
    rules = load_drift_rules(path, columns)
    return f"drift rules, {len(rules.table) + sum(map(len, rules.columns.values()))} of them its own"
