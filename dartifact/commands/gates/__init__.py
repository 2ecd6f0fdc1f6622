"""The gates: `local`, `integration`, `smoke`, `traffic`; staging is in `commands.staging`.

The rest is what they share.
"""
