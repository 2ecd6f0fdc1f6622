"""Orders: a REST source, ingested by Dan and Dave, half of it each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dartifact as da

SOURCE = da.Source(
    name="orders",
    key=("order_id",),
    ingestors=(da.Ingestor("dan"), da.Ingestor("dave")),
    references=(da.Reference("customer_id", "customers", "customer_id"),),
    start=datetime(2021, 1, 1, tzinfo=UTC),
    overlap=timedelta(seconds=30),
)


def extract(access: da.SourceAccess) -> da.RestSource:
    """Return what reads the orders."""
    return da.RestSource(access.url, "/orders", paging=da.LinkPaging(rows="data", link="next"))


ingest_orders = da.ingest_flow(SOURCE, extract)
