"""The bytes between mellite and a server: transports, framings, content encodings, credentials; no vendor, no thunk."""
