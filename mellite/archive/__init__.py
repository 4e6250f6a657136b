"""Recordings, with knowledge of vendors: replay, list, compare, count and convert them."""
