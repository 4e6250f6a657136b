"""Bytes between mellite and a server: transports, framings, content encodings; no vendor, no thunk."""
