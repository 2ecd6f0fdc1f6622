"""Drift of a batch against the merged batches before it: `drift` begins, `rows`, `columns` and `distributions` find."""
