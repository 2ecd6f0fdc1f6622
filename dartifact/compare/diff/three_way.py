"""Three-way: which keys a run changed, and which ones `main` did since the run branched. Pure text."""

from __future__ import annotations

from dartifact.compare.diff.figures import key_text
from dartifact.domain.sql_text import literal

_EXAMPLES = 5


def select_three_way(run_rows: str, main_rows: str, keys: int) -> str:
    """Select keys changed by the run alone, by `main` alone, by both, and examples of the last; from stored rows."""
    names = ", ".join(f"k{n}" for n in range(keys))
    # As text: a run may bring a key in another type than `main` has it.
    texts = ", ".join(f"CAST(k{n} AS VARCHAR) AS k{n}" for n in range(keys))
    sides = " UNION ALL ".join(
        f"SELECT DISTINCT {literal(side)} AS side, {texts} FROM read_parquet({literal(rows)})"
        for side, rows in (("run", run_rows), ("main", main_rows))
    )
    grouped = f"SELECT {names}, string_agg(side, ' ') AS sides, count(*) AS n FROM ({sides}) GROUP BY {names}"
    key = key_text(keys)
    return (
        f"SELECT count(*) FILTER (sides = 'run'), count(*) FILTER (sides = 'main'), count(*) FILTER (n = 2), "
        f"min({key}, {_EXAMPLES}) FILTER (n = 2) FROM ({grouped})"
    )
