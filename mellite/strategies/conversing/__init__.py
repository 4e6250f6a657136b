"""Conversations: what was said so far, how it goes on, how it is shortened and saved."""
