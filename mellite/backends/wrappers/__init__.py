"""Wrappers: a backend in, a backend out, in any order. Each does one thing to the generations that pass through it."""
