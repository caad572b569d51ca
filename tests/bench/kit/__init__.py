"""What the lines of the benchmark share: processes, a private healbus, peers, rows."""
