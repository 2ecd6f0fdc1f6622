"""After a bad day: finish what was left open, recover production, adopt a lake, restore `main`."""
