"""Data contracts: what a dataset promises, read strictly.

Soda takes unknown keys, half-written thresholds and two checks in one item, and then passes. A contract that says
anything which would not be honoured is refused here, by name. Soda itself is not imported: its JSON schema is read as
a file, because the command line starts with this.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dartifact.adapters.contracts.rules import refuse_check
from dartifact.adapters.tables.column_types import KNOWN_TYPES, normalise_type
from dartifact.domain.checks import CheckPolicy
from dartifact.domain.errors import UsageError
from dartifact.domain.sources import SYSTEM_COLUMNS

DATA_SOURCE = "lake"
SCHEMA = "main"
_SCHEMA_FILE = Path("contracts", "soda_data_contract_json_schema_1_0_0.json")
_NOT_HONOURED = {
    "scopes": "a contract speaks of one batch as a whole; give the check a `filter`",
    "scope": "a contract speaks of one batch as a whole; give the check a `filter`",
    "variables": "write the value itself",
    "soda_runner": "checks run at the gates, not on a schedule",
    "soda_agent": "checks run at the gates, not on a schedule",
    "optional": "each column of a contract is required",
    "character_maximum_length": "use `valid_max_length` in an `invalid` check",
    "schema": "the schema is always checked, strictly; leave this check out",
    "valid_reference_data": "declare a reference at the source: it can wait for a key that comes late",
}


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract that was read and found to be fit: every key known, every column typed, at least one check."""

    dataset: str
    text: str
    columns: tuple[tuple[str, str], ...]
    path: Path


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a contract; `id` is stable as long as the check keeps its column, kind and name or qualifier."""

    id: str
    kind: str
    column: str | None
    body: Mapping[str, Any]

    @property
    def policy(self) -> CheckPolicy:
        """Return what its attribute `policy` says, `absolute` without one."""
        return CheckPolicy(self.body.get("attributes", {}).get("policy", CheckPolicy.ABSOLUTE))

    def mentions(self, column: str) -> bool:
        """Tell whether the check reads the column; text that merely looks like the name counts."""
        if column == self.column or column == self.body.get("column") or column in self.body.get("columns", ()):
            return True
        texts = (self.body.get(key) for key in ("expression", "query", "keys_query", "rows_tested_query", "filter"))
        return any(has_word(text, column) for text in texts if text)


def has_word(text: str, word: str) -> bool:
    """Tell whether SQL text holds a name as a whole word, in whatever case."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def load_contract(path: Path) -> Contract:
    """Read a contract file; UsageError names file, key and the nearest known key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the contract cannot be read: {error}") from error
    return parse_contract(text, path)


def parse_contract(text: str, path: Path) -> Contract:
    """Read a contract's text; the path's stem is the dataset it has to be about."""
    document = _read_yaml(text, path)
    _refuse_unknown_keys(document, path)
    _refuse_against_schema(document, path)
    dataset = f"{DATA_SOURCE}/{SCHEMA}/{path.stem}"
    if document["dataset"] != dataset:
        raise UsageError(f"{path}: dataset: {document['dataset']!r} has to be {dataset!r}, after the file's name")
    columns = tuple(_typed_columns(document, path))
    contract = Contract(path.stem, text, columns, path)
    checks = _checks(document, path)
    if not checks:
        raise UsageError(f"{path}: the contract checks nothing: give it at least one check")
    names = tuple(name for name, _ in columns)
    seen: set[str] = set()
    for check in checks:
        refuse_check(check.kind, check.body, names, f"{path}: {check.id}")
        if check.id in seen:
            raise UsageError(f"{path}: {check.id}: two checks have this name: give one a `qualifier`")
        seen.add(check.id)
    return contract


def checks_of(contract: Contract) -> tuple[Check, ...]:
    """Return the checks in the order they stand in the contract."""
    return _checks(_read_yaml(contract.text, contract.path), contract.path)


def key_of(contract: Contract) -> tuple[str, ...]:
    """Return the columns that the contract says are unique together, in its first `duplicate` check; none without."""
    for check in checks_of(contract):
        if check.kind == "duplicate":
            return (check.column,) if check.column else tuple(check.body.get("columns", ()))
    return ()


def filter_of(contract: Contract) -> str | None:
    """Return the SQL condition of the rows the contract is about, None for all rows."""
    text = _read_yaml(contract.text, contract.path).get("filter")
    return str(text) if text else None


def _read_yaml(text: str, path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _refuse_twins(yaml.compose(text, Loader=loader), path)
        document = yaml.load(text, Loader=loader)  # noqa: S506  (both are safe loaders)
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path}: a contract is a mapping with `dataset`, `columns` and `checks`")
    if "${" in text:
        raise UsageError(f"{path}: `${{` is not supported: {_NOT_HONOURED['variables']}")
    return document


def _refuse_twins(node: Any, path: Path) -> None:
    """Refuse a key that stands twice in one mapping: YAML keeps the last one and drops the other silently."""
    if node is None or isinstance(node.value, str):
        return
    seen: set[str] = set()
    for item in node.value:
        if not isinstance(item, tuple):
            _refuse_twins(item, path)
            continue
        key, value = item
        if str(key.value) in seen:
            raise UsageError(f"{path}: line {key.start_mark.line + 1}: the key {key.value!r} appears twice")
        seen.add(str(key.value))
        _refuse_twins(value, path)


def _soda_schema() -> dict[str, Any]:
    spec = importlib.util.find_spec("soda_core")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        schema = json.loads((Path(folder) / _SCHEMA_FILE).read_text(encoding="utf-8"))
        assert isinstance(schema, dict)
        return schema
    raise UsageError("the package soda-core is not installed", hint="uv sync")


def _refuse_unknown_keys(document: dict[str, Any], path: Path) -> None:
    schema = _soda_schema()
    for where, key, known in _unknown_keys(document, [schema], schema, ()):
        place = ".".join((*where, key))
        if key in known:
            raise UsageError(f"{path}: {place}: {key!r} is not supported: {_NOT_HONOURED[key]}")
        raise UsageError(f"{path}: {place}: unknown key {key!r}: {_advice(key, known)}")


def _advice(word: str, known: Iterable[str]) -> str:
    choice = sorted(set(known) - _NOT_HONOURED.keys())
    near = get_close_matches(word, choice, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(choice)}"


def _unknown_keys(
    value: Any, nodes: list[Any], root: dict[str, Any], where: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, tuple[str, ...]]]:
    """Yield (place, key, known keys) of keys no branch of the schema names, and of those we do not honour.

    Branches (allOf, anyOf, oneOf) are taken together: whether the keys go together is the validator's question.
    """
    leaves = [leaf for node in nodes for leaf in _branches(node, root)]
    if isinstance(value, dict):
        known: dict[str, list[Any]] = {}
        for leaf in leaves:
            for key, child in leaf.get("properties", {}).items():
                known.setdefault(key, []).append(child)
        others = [leaf["additionalProperties"] for leaf in leaves if isinstance(leaf.get("additionalProperties"), dict)]
        for key, child in value.items():
            key = str(key)  # noqa: PLW2901
            if (key not in known and not others and known) or (key in known and key in _NOT_HONOURED):
                yield where, key, tuple(known)
            else:
                yield from _unknown_keys(child, known.get(key, others), root, (*where, key))
    elif isinstance(value, list):
        items = [leaf["items"] for leaf in leaves if "items" in leaf]
        for item in value:
            name = item.get("name") if isinstance(item, dict) else None
            yield from _unknown_keys(item, items, root, (*where, name) if isinstance(name, str) else where)


def _branches(node: Any, root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not isinstance(node, dict):
        return
    yield node
    if "$ref" in node:
        yield from _branches(root["$defs"][node["$ref"].rsplit("/", 1)[-1]], root)
    for word in ("allOf", "anyOf", "oneOf"):
        for branch in node.get(word, ()):
            yield from _branches(branch, root)


def _refuse_against_schema(document: dict[str, Any], path: Path) -> None:
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.exceptions import best_match  # noqa: PLC0415

    error = best_match(Draft202012Validator(_soda_schema()).iter_errors(document))
    if error is None:
        return
    place: list[str] = []
    value: Any = document
    for step in error.absolute_path:
        value = value[step]
        name = value.get("name") if isinstance(value, dict) else None
        if isinstance(step, str) or isinstance(name, str):
            place.append(step if isinstance(step, str) else str(name))
    message = error.message
    if error.validator in ("anyOf", "oneOf", "allOf", "not"):  # these quote half the schema
        message = f"this is not a valid combination: {error.instance!r:.100}"
    raise UsageError(f"{path}: {'.'.join(place) or 'the contract'}: {message}")


def _typed_columns(document: dict[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    if not document["columns"]:
        raise UsageError(f"{path}: columns: name at least one")
    for column in document["columns"]:
        name, text = column["name"], column.get("data_type")
        if name.lower() in seen:
            raise UsageError(f"{path}: columns.{name}: two columns have this name")
        if name.lower() in SYSTEM_COLUMNS:
            raise UsageError(f"{path}: columns.{name}: this name is reserved")
        seen.add(name.lower())
        data_type = normalise_type(str(text)) if text else None
        if data_type is None:
            what = f"unknown type {text!r}" if text else "missing"
            raise UsageError(f"{path}: columns.{name}.data_type: {what}: {_advice(str(text), KNOWN_TYPES)}")
        yield name, data_type


def _checks(document: dict[str, Any], path: Path) -> tuple[Check, ...]:
    found: list[tuple[str | None, dict[str, Any]]]
    found = [(column["name"], item) for column in document["columns"] for item in column.get("checks", ())]
    found += [(None, item) for item in document.get("checks", ())]
    checks = []
    for column, item in found:
        if len(item) != 1:
            keys = ", ".join(item) or "none"
            raise UsageError(f"{path}: {column or 'checks'}: exactly one check per list item is needed, found: {keys}")
        [(kind, body)] = item.items()
        body = body or {}
        parts = [path.stem, column, kind, _suffix(kind, column, body)]
        checks.append(Check(".".join(part for part in parts if part), kind, column, body))
    return tuple(checks)


def _suffix(kind: str, column: str | None, body: Mapping[str, Any]) -> str:
    """Return what tells a check from others of its kind on the same column, empty where nothing does."""
    name = body.get("qualifier")
    if not name and kind in ("failed_rows", "metric"):
        name = body.get("name")
    if not name and kind == "duplicate" and column is None:
        name = "_".join(body.get("columns", ()))
    if not name and kind in ("aggregate", "freshness"):
        name = body.get("function") or body.get("column")
    return re.sub(r"[^a-z0-9]+", "_", str(name or "").lower()).strip("_")
