"""Companies: their names, URLs and environment variables; the only place where routes are put together."""
