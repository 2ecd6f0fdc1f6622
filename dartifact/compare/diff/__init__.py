"""The exact difference of two tables: planned (`plan`), asked in SQL, told as a report."""
