"""A local server that speaks as model providers do, and answers from a cassette, from a backend, or from theirs."""
