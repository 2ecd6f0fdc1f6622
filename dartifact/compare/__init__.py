"""What two tables have in common: the diff, drift against history, current rows, known faults.

SQL and values, no policy.
"""
