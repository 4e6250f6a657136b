"""Runs: a model asked again and again, with the results of the tools that it calls."""
