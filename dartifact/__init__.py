"""What a source file, a notebook and a user's tests import: `import dartifact as da`.

`da.read("customer_statistics")` and `da.run(RUN_ID)` give DataFrames; the other names are what a file in `flows/`
needs. Each name is loaded when it is first used: importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dartifact.adapters.sources.rest import RestSource
    from dartifact.adapters.sources.rest_paging import CursorPaging, LinkPaging, OffsetPaging
    from dartifact.adapters.sources.salesforce import SalesforceSource
    from dartifact.client import RunData, read, run
    from dartifact.domain.errors import DartifactError
    from dartifact.domain.sources import Evolve, Ingestor, Reference, Source, SourceAccess
    from dartifact.stations.runner import ingest_flow

_HOMES = {
    "CursorPaging": "dartifact.adapters.sources.rest_paging",
    "DartifactError": "dartifact.domain.errors",
    "Evolve": "dartifact.domain.sources",
    "Ingestor": "dartifact.domain.sources",
    "LinkPaging": "dartifact.adapters.sources.rest_paging",
    "OffsetPaging": "dartifact.adapters.sources.rest_paging",
    "Reference": "dartifact.domain.sources",
    "RestSource": "dartifact.adapters.sources.rest",
    "RunData": "dartifact.client",
    "SalesforceSource": "dartifact.adapters.sources.salesforce",
    "Source": "dartifact.domain.sources",
    "SourceAccess": "dartifact.domain.sources",
    "ingest_flow": "dartifact.stations.runner",
    "read": "dartifact.client",
    "run": "dartifact.client",
}
__all__ = [
    "CursorPaging",
    "DartifactError",
    "Evolve",
    "Ingestor",
    "LinkPaging",
    "OffsetPaging",
    "Reference",
    "RestSource",
    "RunData",
    "SalesforceSource",
    "Source",
    "SourceAccess",
    "ingest_flow",
    "read",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
