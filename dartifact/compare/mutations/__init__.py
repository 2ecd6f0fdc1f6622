"""Known faults that are put into a batch to see which gate stops them."""
