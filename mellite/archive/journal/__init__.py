"""The journal of a run: keeps each call while a program runs, and replays it when the program is restarted."""
