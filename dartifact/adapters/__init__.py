"""The outside systems, a room for each; the only places that import their SDKs."""
