"""What the verbs take, and what their `--help` says: functions without a body, which import nothing but typer."""
