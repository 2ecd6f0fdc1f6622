"""The command line. `verbs` is the table of verbs; each is a signature (what it takes) and an action (what it does)."""
