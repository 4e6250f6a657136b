"""Kill what records at every moment, and let crowds record at once: nothing acknowledged may be lost.

``python -m tests.crash`` runs all of it at length, ``--short`` in seconds; what was found is printed as JSON lines.
"""
