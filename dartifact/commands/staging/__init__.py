"""Staging: `stage` decides what is made, `assembly` makes it, `culprits` says who turned it red."""
