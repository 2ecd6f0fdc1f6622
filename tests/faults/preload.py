"""What every process of the fault matrix needs, imported once by the server that they are forked from."""

import duckdb
import jsonschema  # type: ignore[import-untyped]
import lakefs_sdk.client
import pandas
import psycopg
import pyarrow.dataset
import pyarrow.parquet
import pytest
import soda_core.common.logs
import soda_core.contracts.contract_verification
import soda_core.contracts.impl.contract_verification_impl
import soda_duckdb.common.data_sources.duckdb_data_source
import sqlalchemy.dialects.postgresql.psycopg

import dartifact.adapters.lakefs.errors
import tests.faults.protocols

__all__ = [
    "dartifact",
    "duckdb",
    "jsonschema",
    "lakefs_sdk",
    "pandas",
    "psycopg",
    "pyarrow",
    "pytest",
    "soda_core",
    "soda_duckdb",
    "sqlalchemy",
    "tests",
]
