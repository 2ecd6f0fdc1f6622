"""What people do with a stopped run: decide, fix, split, look."""
