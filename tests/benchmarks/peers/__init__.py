"""Other clients that do the work of the floor, each in an environment of its own."""
