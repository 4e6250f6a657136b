"""What keys look like and which names hold them: two tables, used by scan, redaction and masks alike."""
