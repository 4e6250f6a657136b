"""Benchmarks: mellite beside what it stands on, in one run, as ratios. Run: python -m tests.benchmarks."""
