"""Typed answers: how an answer is held to the type that was asked for, and how it is read while it grows."""
