"""The lines of the benchmark: each module measures a few and gives their rows."""
