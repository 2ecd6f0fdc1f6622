"""The merge queue.

`integrate` is the station, `rounds` one candidate, `candidates` the protocol that advances `main`, `main_head` what is
done about merges by hand.
"""
