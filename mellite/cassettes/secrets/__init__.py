"""Keys that must not reach a cassette: taken out where they are known, looked for everywhere else."""
