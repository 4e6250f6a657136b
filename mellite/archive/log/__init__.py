"""The log: every settled thunk, run and step in a SQLite file, written by a thread of its own, and read again."""
