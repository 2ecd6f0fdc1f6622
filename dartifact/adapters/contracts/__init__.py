"""Contracts of `checks/`: read, validated, asked through Soda, answered as results."""
