"""The browser UI: pages of `ui/views`; started with `streamlit run ui/app.py`."""

from __future__ import annotations

import streamlit as st

st.set_page_config(page_title="dartifact", layout="wide")
st.navigation(
    [
        st.Page("views/runs.py", title="Runs", url_path="runs", default=True),
        st.Page("views/run.py", title="Run", url_path="run"),
        st.Page("views/dartifacts.py", title="Dartifacts", url_path="dartifacts"),
        st.Page("views/production.py", title="Production", url_path="production"),
        st.Page("views/activity.py", title="Activity", url_path="activity"),
    ]
).run()
