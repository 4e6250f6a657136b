"""Cassette files on the disk: reading, writing, finding and locking them, and the formats of others."""
