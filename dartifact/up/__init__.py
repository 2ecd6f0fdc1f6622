"""`dartifact up`: the services of one machine, kept running together."""
