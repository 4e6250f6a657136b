"""The `mellite` command: one module for each group of commands."""
