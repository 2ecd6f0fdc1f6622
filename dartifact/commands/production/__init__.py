"""From a green dartifact to readers and back: `choice`, `promote`, `steps`, `publication` (the protocol),
`rollback`.
"""
