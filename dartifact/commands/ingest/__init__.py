"""From a source to a run branch: claim, extract, check, request the merge; backfills."""
