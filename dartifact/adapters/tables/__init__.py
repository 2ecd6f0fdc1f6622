"""Rows as Arrow and Parquet: typed batches, people's files, DuckDB over files of the lake."""
