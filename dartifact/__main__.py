"""`python -m dartifact`: the command line."""

from __future__ import annotations

from dartifact.cli.app import main

main()
