"""Whether a source fits its contract: the columns that it names are there, with types that can be used so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from dartifact.adapters.contracts.contracts import Contract
from dartifact.domain.column_names import find_twins
from dartifact.domain.errors import UsageError
from dartifact.domain.sources import Reference, Source

_TIME = "timestamp with time zone"


def find_misfits(source: Source, contract: Contract, others: Mapping[str, Contract] | None = None) -> tuple[str, ...]:
    """Return all that a source declares and its contract does not bear, in words; none where it fits.

    `others` are the contracts of the datasets that references may lead to, by name; what a reference leads to is only
    asked where they are given.
    """
    return tuple(f"{source.name}: {fault}" for fault in _find(source, contract, others))


def require_fitting(source: Source, contract: Contract) -> None:
    """Raise UsageError with all faults where a source does not fit its contract."""
    faults = find_misfits(source, contract)
    if faults:
        raise UsageError(
            "; ".join(faults), hint=f"correct flows/{source.name}.py or checks/{source.name}.yml, then run again"
        )


def _find(source: Source, contract: Contract, others: Mapping[str, Contract] | None) -> Iterator[str]:
    types = dict(contract.columns)
    place = f"checks/{contract.dataset}.yml"
    if contract.dataset != source.name:
        yield f"its contract is about {contract.dataset}"
    for name in source.key:
        if name not in types:
            yield f"key {name!r} is not a column of {place}{_suggest(name, types)}"
    if len(set(source.key)) < len(source.key) or find_twins(source.key):
        yield f"key names a column twice: {', '.join(source.key)}"
    if source.updated_at not in types:
        yield f"updated_at {source.updated_at!r} is not a column of {place}{_suggest(source.updated_at, types)}"
    elif types[source.updated_at] != _TIME:
        yield f"updated_at {source.updated_at!r} is {types[source.updated_at]} in {place}: it has to be {_TIME}"
    for name in source.personal:
        if name not in types:
            yield f"personal {name!r} is not a column of {place}{_suggest(name, types)}"
    for reference in source.references:
        yield from _find_in_reference(reference, types, place, {**(others or {}), contract.dataset: contract}, others)


def _find_in_reference(
    reference: Reference,
    types: Mapping[str, str],
    place: str,
    contracts: Mapping[str, Contract],
    others: Mapping[str, Contract] | None,
) -> Iterator[str]:
    name, target = reference.column, f"{reference.dataset}.{reference.key}"
    if name not in types:
        yield f"reference {name!r} to {target} is not a column of {place}{_suggest(name, types)}"
    if reference.dataset not in contracts:
        if others is not None:
            yield f"reference {name!r} to {target}: there is no dataset {reference.dataset}"
        return
    keys = dict(contracts[reference.dataset].columns)
    if reference.key not in keys:
        there = f"checks/{reference.dataset}.yml"
        yield f"reference {name!r} to {target}: not a column of {there}{_suggest(reference.key, keys)}"
    elif name in types and types[name] != keys[reference.key]:
        yield f"reference {name!r} is {types[name]}, {target} is {keys[reference.key]}: give them one type"


def _suggest(name: str, known: Mapping[str, str]) -> str:
    lower = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), lower, n=1, cutoff=0.7)
    return f"; did you mean {lower[near[0]]!r}?" if near else ""
