"""Customers: an object in Salesforce, ingested by Dana."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dartifact as da

SOURCE = da.Source(
    name="customers",
    key=("customer_id",),
    ingestors=(da.Ingestor("dana"),),
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


def extract(access: da.SourceAccess) -> da.SalesforceSource:
    """Return what reads the customers."""
    return da.SalesforceSource(access, OBJECT, FIELDS)


ingest_customers = da.ingest_flow(SOURCE, extract)
