"""How an answer gets the type that was asked for: how it is held to the type, and how it is read and grows."""
