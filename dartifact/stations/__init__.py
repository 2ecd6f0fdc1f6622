"""The Prefect flows of the engine, one module for each station, and what they share (`runner`).

Sources have theirs in the project.
"""
