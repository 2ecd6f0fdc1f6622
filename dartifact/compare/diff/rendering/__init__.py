"""A diff report for people: one module per format, reports in and text out."""
