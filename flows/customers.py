"""Customers: an object in Salesforce, ingested by Dana."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import flow

from dartifact.adapters.sources.salesforce import SalesforceSource
from dartifact.domain.sources import Ingestor, Source, SourceAccess
from dartifact.stations.runner import Ended, ends_in_words, run_ingest

SOURCE = Source(
    name="customers",
    key=("customer_id",),
    ingestors=(Ingestor("dana"),),
    start=datetime(2021, 1, 1, tzinfo=UTC),
    overlap=timedelta(seconds=30),
    personal=("name", "email"),
)


OBJECT = "Customer__c"
FIELDS = {
    "customer_id": "Customer_Number__c",
    "name": "Name",
    "email": "Email__c",
    "segment": "Segment__c",
    "country": "Country__c",
    "updated_at": "SystemModstamp",
}


def extract(access: SourceAccess) -> SalesforceSource:
    """Return what reads the customers."""
    return SalesforceSource(access, OBJECT, FIELDS)


@flow(name="ingest customers", flow_run_name="customers-{ingestor}", log_prints=True)
@ends_in_words
def ingest_customers(ingestor: str = "dana") -> Ended:
    """Bring the next window of customers to the merge queue."""
    return run_ingest(SOURCE, extract, ingestor)
