"""lakeFS: `lake` is what the rest of the engine sees of it."""
