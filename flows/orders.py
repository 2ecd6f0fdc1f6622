"""Orders: a REST source, ingested by Dan and Dave, half of it each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import flow

from dartifact.adapters.sources.rest import RestSource
from dartifact.adapters.sources.rest_paging import LinkPaging
from dartifact.domain.sources import Ingestor, Reference, Source, SourceAccess
from dartifact.stations.runner import Ended, ends_in_words, run_ingest

SOURCE = Source(
    name="orders",
    key=("order_id",),
    ingestors=(Ingestor("dan"), Ingestor("dave")),
    references=(Reference("customer_id", "customers", "customer_id"),),
    start=datetime(2021, 1, 1, tzinfo=UTC),
    overlap=timedelta(seconds=30),
)


def extract(access: SourceAccess) -> RestSource:
    """Return what reads the orders."""
    return RestSource(access.url, "/orders", paging=LinkPaging(rows="data", link="next"))


@flow(name="ingest orders", flow_run_name="orders-{ingestor}", log_prints=True)
@ends_in_words
def ingest_orders(ingestor: str = "dan") -> Ended:
    """Bring the next window of orders to the merge queue."""
    return run_ingest(SOURCE, extract, ingestor)
