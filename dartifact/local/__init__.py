"""What runs on this machine: lakeFS, Prefect and the browser UI are got, started, watched and backed up."""
