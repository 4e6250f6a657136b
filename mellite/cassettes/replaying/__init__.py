"""Replaying: a transport that answers from a cassette, and never sends anything."""
