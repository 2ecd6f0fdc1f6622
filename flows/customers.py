"""Customers: a REST source, ingested by Dana."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import flow

from flows.adapters.rest import RestSource
from flows.domain.sources import Ingestor, Source
from flows.runner import run_ingest

SOURCE = Source(
    name="customers",
    key=("customer_id",),
    ingestors=(Ingestor("dana"),),
    start=datetime(2021, 1, 1, tzinfo=UTC),
    overlap=timedelta(seconds=30),
)


def extract(url: str) -> RestSource:
    """Return what reads the customers."""
    return RestSource(url, "/customers")


@flow(name="ingest customers", log_prints=True)
def ingest_customers(ingestor: str = "dana") -> None:
    """Bring the next window of customers to the merge queue."""
    run_ingest(SOURCE, extract, ingestor)
