"""What several test packages need: sources that remember, a proxy that cuts, a world to play in, ways to look."""
