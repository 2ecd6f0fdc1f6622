"""A contract as YAML: read exactly, with every key that nobody knows and every value that the JSON schema refuses.

The schema is Soda's own, read as a file: Soda itself is not imported, because the command line starts with this.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from dartifact.domain.errors import UsageError

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

_CHOICES = ("anyOf", "oneOf", "allOf", "not")

Step = str | int
Steps = tuple[Step, ...]
"""The way to a value in the document: keys, and positions in lists."""


@dataclass(frozen=True, slots=True)
class SyntaxFault:
    """A fault and where in the document it is."""

    steps: Steps
    text: str


def read_yaml(text: str) -> tuple[dict[str, Any], tuple[SyntaxFault, ...]]:
    """Return a contract as plain values and the faults of its text; numbers with a point are Decimals, as written.

    UsageError: it is no YAML, or no mapping.
    """
    import yaml  # noqa: PLC0415

    loader = _exact_loader()
    try:
        faults = [SyntaxFault((), twin) for twin in _find_twins(yaml.compose(text, Loader=loader))]
        document = yaml.load(text, Loader=loader)  # noqa: S506  (it is a safe loader)
    except yaml.YAMLError as error:
        raise UsageError(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UsageError("a contract is a mapping with `dataset`, `columns` and `checks`")
    if "${" in text:
        faults.append(SyntaxFault((), f"`${{` is not supported: {_NOT_HONOURED['variables']}"))
    return document, tuple(faults)


def find_syntax_faults(document: dict[str, Any]) -> tuple[SyntaxFault, ...]:
    """Return what the schema does not take: keys that it does not name or we do not honour, then values."""
    schema = _soda_schema()
    unknown = [SyntaxFault(*fault) for fault in _find_unknown_keys(document, [schema], schema, document, ())]
    return (*unknown, *_find_invalid(document, schema, [fault.steps for fault in unknown]))


def name_place(document: Any, steps: Steps) -> str:
    """Return the way to a value for people: keys, and the names of list items that have one."""
    place: list[str] = []
    value = document
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
        name = value.get("name") if isinstance(value, dict) else None
        if isinstance(step, str) or isinstance(name, str):
            place.append(step if isinstance(step, str) else str(name))
    return ".".join(place)


def advise(word: str, known: Iterable[str]) -> str:
    """Name the known word that somebody may have meant, or all there are."""
    choice = sorted(set(known) - _NOT_HONOURED.keys())
    near = get_close_matches(word, choice, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(choice)}"


@cache
def _exact_loader() -> Any:
    import yaml  # noqa: PLC0415

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def construct_decimal(loader: Any, node: Any) -> Decimal | float:
        try:
            number = Decimal(loader.construct_scalar(node).replace("_", ""))
        except InvalidOperation:  # .inf, .nan, or sixties: 190:20:30.15
            return float(loader.construct_yaml_float(node))
        return number if number.is_finite() else float(number)

    exact: Any = type("ExactLoader", (base,), {})
    exact.add_constructor("tag:yaml.org,2002:float", construct_decimal)
    return exact


def _find_twins(node: Any) -> Iterator[str]:
    """Find keys that stand twice in one mapping: YAML keeps the last one and drops the other silently."""
    if node is None or isinstance(node.value, str):
        return
    seen: set[str] = set()
    for item in node.value:
        if not isinstance(item, tuple):
            yield from _find_twins(item)
            continue
        key, value = item
        if str(key.value) in seen:
            yield f"line {key.start_mark.line + 1}: the key {key.value!r} appears twice"
        seen.add(str(key.value))
        yield from _find_twins(value)


@cache
def _soda_schema() -> dict[str, Any]:
    spec = importlib.util.find_spec("soda_core")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        schema = json.loads((Path(folder) / _SCHEMA_FILE).read_text(encoding="utf-8"))
        assert isinstance(schema, dict)
        return schema
    raise UsageError("the package soda-core is not installed", hint="uv sync")


def _find_unknown_keys(
    value: Any, nodes: list[Any], root: dict[str, Any], document: Any, steps: Steps
) -> Iterator[tuple[Steps, str]]:
    """Find keys no branch of the schema names, and those we do not honour.

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
            here = (*steps, key)
            if (key not in known and not others and known) or (key in known and key in _NOT_HONOURED):
                yield here, _say_unknown(str(key), known, name_place(document, here))
            else:
                yield from _find_unknown_keys(child, known.get(key, others), root, document, here)
    elif isinstance(value, list):
        items = [leaf["items"] for leaf in leaves if "items" in leaf]
        for position, item in enumerate(value):
            yield from _find_unknown_keys(item, items, root, document, (*steps, position))


def _say_unknown(key: str, known: Mapping[str, Any], place: str) -> str:
    place = place or key
    if key in known:
        return f"{place}: {key!r} is not supported: {_NOT_HONOURED[key]}"
    return f"{place}: unknown key {key!r}: {advise(key, known)}"


def _branches(node: Any, root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not isinstance(node, dict):
        return
    yield node
    if "$ref" in node:
        yield from _branches(root["$defs"][node["$ref"].rsplit("/", 1)[-1]], root)
    for word in ("allOf", "anyOf", "oneOf"):
        for branch in node.get(word, ()):
            yield from _branches(branch, root)


def _find_invalid(document: dict[str, Any], schema: dict[str, Any], unknown: list[Steps]) -> Iterator[SyntaxFault]:
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.exceptions import best_match  # noqa: PLC0415

    for found in Draft202012Validator(schema).iter_errors(document):
        above = tuple(found.absolute_path)
        if found.validator in (*_CHOICES, "additionalProperties") and any(at[: len(above)] == above for at in unknown):
            continue  # what an unknown key makes of the mappings around it has been said
        if found.validator == "required" and any(_means(at, above, found.message) for at in unknown):
            continue
        error = best_match([found])
        message = error.message
        if error.validator in _CHOICES:  # these quote half the schema
            message = f"this is not a valid combination: {error.instance!r:.100}"
        steps = tuple(error.absolute_path)
        message = re.sub(r"Decimal\('([^']*)'\)", r"\1", message)
        yield SyntaxFault(steps, f"{name_place(document, steps) or 'the contract'}: {message}")


def _means(unknown: Steps, above: Steps, message: str) -> bool:
    """Tell whether an unknown key is the one that a mapping lacks, with a typo."""
    missing = message.split("'")[1]
    return unknown[:-1] == above and bool(get_close_matches(str(unknown[-1]), [missing], n=1, cutoff=0.7))
