"""The journal of a run: what is kept of each call while a program goes on, and given again when it is started again."""
