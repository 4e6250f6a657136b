"""Plain values without a clock or I/O: requests, answers, costs, and the cutting of text."""
