"""Every file of `checks/`, read as the gates will read it, without a lake or a ledger."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dartifact.adapters.contracts.contracts import checks_of, load_contract
from dartifact.adapters.contracts.drift_file import load_drift_rules
from dartifact.domain.errors import UsageError

_DRIFT = ".drift.yml"


@dataclass(frozen=True, slots=True)
class CheckFile:
    """One file of `checks/`: what it holds, or what is wrong with it and what to do."""

    file: str
    ok: bool
    found: str
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def validate_checks(project: Path) -> tuple[CheckFile, ...]:
    """Read all contracts, drift files and SQL checks of a project; UsageError when it has no `checks/`."""
    folder = project / "checks"
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint="set DARTIFACT_PROJECT to the checkout")
    files = sorted(each for each in folder.rglob("*") if each.is_file() and each.suffix in (".yml", ".yaml", ".sql"))
    return tuple(_look(each, str(each.relative_to(project))) for each in files)


def _look(path: Path, name: str) -> CheckFile:
    try:
        return CheckFile(name, True, read_check_file(path))
    except UsageError as error:
        return CheckFile(name, False, error.message.removeprefix(f"{path}: "), str(error.hint))


def read_check_file(path: Path) -> str:
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
        contract = load_contract(path.with_name(path.name.removesuffix(_DRIFT) + ".yml"))
        rules = load_drift_rules(path, [name for name, _ in contract.columns])
        return f"drift rules, {len(rules.table) + sum(map(len, rules.columns.values()))} of them its own"
    contract = load_contract(path)
    return f"a contract of {len(contract.columns)} columns with {len(checks_of(contract))} checks"
