"""How the values of a column lie in `main` and in a run, over each other."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from dartifact.commands.diffs.against_main import Bucket

_SIDES = ("main", "this run")


def show_distribution(column: str, buckets: Sequence[Bucket]) -> None:
    """Show buckets as bars of both sides, and as a table."""
    if not buckets:
        st.info("Only nulls in this column.")
        return
    long = pd.DataFrame(
        [
            {"value": each.label, "lo": each.lo, "hi": each.hi, "rows of": side, "share": share}
            for each in buckets
            for side, share in zip(_SIDES, (each.main, each.run), strict=True)
        ]
    )
    is_number = buckets[0].lo is not None
    bars = (
        alt.Chart(long)
        .mark_bar(opacity=0.55)
        .encode(
            x=alt.X("lo:Q", title=column, bin="binned")
            if is_number
            else alt.X("value:N", sort=[each.label for each in buckets], title=column),
            y=alt.Y("share:Q", stack=None, axis=alt.Axis(format="%"), title="share of rows"),
            color=alt.Color("rows of:N", scale=alt.Scale(domain=list(_SIDES), range=["#7f7f7f", "#1f77b4"])),
            tooltip=["rows of", "value", alt.Tooltip("share:Q", format=".2%")],
            **({"x2": "hi:Q"} if is_number else {"xOffset": "rows of:N"}),
        )
    )
    st.altair_chart(bars.properties(height=280), width="stretch")
    st.dataframe(
        [{"value": each.label, "main": f"{each.main:.1%}", "this run": f"{each.run:.1%}"} for each in buckets],
        hide_index=True,
    )
