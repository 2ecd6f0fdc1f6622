"""The merge queue: `integrate` is the station, `rounds` one candidate, `candidates` the protocol that advances
`main`.
"""
