"""dbt: builds a project in a process of its own; digests and packs its code."""
