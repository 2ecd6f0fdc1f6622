"""What an adoption takes in, and what a restoration of `main` takes out, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dartifact.documents.adoption import AdoptionDocument, RestorationDocument

_MOST = 10


def format_adoption(document: AdoptionDocument) -> str:
    """Say what would be taken into the ledger, and what the lake cannot tell."""
    if not document["why"]:
        return "lake and ledger fit together and main is tested: there is nothing to take in"
    runs, dartifacts = document["runs"], document["dartifacts"]
    lines = [document["why"], f"main {document['main'][:12]} is taken as it is, and would be called tested"]
    if runs:
        phases = Counter(run["phase"] for run in runs)
        lines.append(f"{len(runs)} runs: " + ", ".join(f"{count} {phase}" for phase, count in phases.items()))
        lines += _shorten([f"  {run['run_id']} {run['phase']}, {run['rows'] or '?'} rows" for run in runs])
    for title, names in (("in main now", document["arrived"]), ("no longer in main", document["gone"])):
        if names:
            lines += [f"{title}:", *_shorten([f"  {name}" for name in names])]
    if dartifacts:
        lines += [f"{len(dartifacts)} dartifacts:"]
        lines += _shorten([f"  {name} {state}" for name, state in reversed(dartifacts.items())])
    if document["live"]:
        lines.append(f"live is {document['live']}; promotions stay frozen until `dartifact unfreeze`")
    return "\n".join([*lines, "the lake cannot tell:", *(f"  {line}" for line in document["not_known"])])


def format_restoration(document: RestorationDocument) -> str:
    """Say what would be taken out of `main`."""
    if not document["head"]:
        return "main is tested: there is nothing to bring back"
    head, tested = document["head"][:12], document["tested"][:12]
    lines = [f"main {head} is not tested: {document['why']}", f"it would hold again what {tested} holds"]
    if document["runs"]:
        lines += ["the folders of these runs leave main:", *_shorten([f"  {name}" for name in document["runs"]])]
    return "\n".join(lines)


def _shorten(lines: Sequence[str]) -> list[str]:
    more = [f"  and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return [*lines[:_MOST], *more]
