"""A vendor's JSON, each in a file of its own: requests to bodies, chunks to events; no bytes, URLs or keys."""
