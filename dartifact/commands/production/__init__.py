"""From a green dartifact to readers and back.

`choice` and `promote` begin, `steps` carries a plan out, `publication` is the protocol, `rollback` goes back.
"""
