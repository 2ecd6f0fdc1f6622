"""The checks of a run: what each says, how it went before, and how many rows of `main` fail it, too."""

from __future__ import annotations

import streamlit as st

from dartifact.domain.errors import DartifactError
from ui import lake_reads, reads
from ui.documents import ShownRun
from ui.format import OUTCOME_MARKS, tell_error

_ORDER = ("failed", "errored", "warned", "skipped", "passed")


def show_checks(run: ShownRun) -> None:
    """Show every check, the failing ones first: measured, allowed, how it went in the last runs, what `main` has."""
    if not run["checks"]:
        st.info("No checks have run yet.")
        return
    checks = sorted(run["checks"], key=lambda check: _ORDER.index(check["outcome"]))
    counts = [f"{sum(check['outcome'] == name for check in checks)} {name}" for name in _ORDER]
    head, ask = st.columns([3, 2], vertical_alignment="center")
    head.markdown("**Checks** · " + " · ".join(count for count in counts if not count.startswith("0 ")))
    with ask:
        in_main = count_in_main(run)
    own = f"{run['source']}."
    trends = reads.read_trends(run)
    st.dataframe(
        [
            {
                "check": f"{OUTCOME_MARKS[check['outcome']]} {check['check'].removeprefix(own)}",
                "measured": _tell_number(check["measured"]),
                "allowed": check["threshold"] or "",
                **({"in main": _tell_number(in_main.get(check["check"]))} if in_main else {}),
                "last runs": trends.get(check["check"]),
                "failing rows": _tell_number(check["failing_rows"] or None),
                "known": _tell_number(check["known_rows"]),
                "outcome": check["outcome"],
                "message": check["message"],
            }
            for check in checks
        ],
        hide_index=True,
        width="stretch",
        height=min(300, 38 + 35 * len(checks)),
        column_config={
            "check": st.column_config.TextColumn(width=150),
            "measured": st.column_config.TextColumn(width=70, alignment="right"),
            "allowed": st.column_config.TextColumn(width=80),
            "last runs": st.column_config.LineChartColumn(
                help="Measured in the last runs, up to this one", width=70, color="gray"
            ),
            "in main": st.column_config.TextColumn(
                help="Rows of main that fail it, without those of this run", width=70, alignment="right"
            ),
            "failing rows": st.column_config.TextColumn(width=80, alignment="right"),
            "known": st.column_config.TextColumn(
                help="Failing rows whose key has failed in main before", width=60, alignment="right"
            ),
            "message": st.column_config.TextColumn(width="large"),
        },
    )


def _tell_number(number: float | None) -> str:
    return "" if number is None else f"{number:,}" if isinstance(number, int) else f"{number:,.4g}"


def count_in_main(run: ShownRun) -> dict[str, int]:
    """Return how many rows of `main` fail each failing check; they are counted once a person asks for it."""
    key = f"main {run['run_id']} {run['report']}"
    if not any(check["condition"] and check["outcome"] in ("failed", "warned") for check in run["checks"]):
        return {}
    if st.button("Count in main", help="Counts the rows of main that fail each failing check", width="stretch"):
        try:
            with st.spinner("Counting in main…"):
                st.session_state[key] = lake_reads.count_same_in_main(run["run_id"])
        except DartifactError as error:
            tell_error(error)
    found: dict[str, int] = st.session_state.get(key, {})
    return found
