"""Differences of runs, dartifacts and files: chosen, computed once, stored, paged."""
