"""Health: `doctor`, `verify`, `validate`, notifications, the self-test of the checks."""
