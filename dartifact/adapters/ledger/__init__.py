"""The ledger: `tables` is the schema, `ledger` reads, `writer` is one transaction with an object for each table."""
