"""Two tables, of the forms of keys and of the names that hold them, used by scan, redaction and masks alike."""
