"""Orders: a REST source, ingested by Dan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import flow

from flows.adapters.rest import RestSource
from flows.domain.sources import Ingestor, Reference, Source
from flows.runner import run_ingest

SOURCE = Source(
    name="orders",
    key=("order_id",),
    ingestors=(Ingestor("dan"),),
    references=(Reference("customer_id", "customers", "customer_id"),),
    start=datetime(2021, 1, 1, tzinfo=UTC),
    overlap=timedelta(seconds=30),
)


def extract(url: str) -> RestSource:
    """Return what reads the orders."""
    return RestSource(url, "/orders")


@flow(name="ingest orders", log_prints=True)
def ingest_orders(ingestor: str = "dan") -> None:
    """Bring the next window of orders to the merge queue."""
    run_ingest(SOURCE, extract, ingestor)
