"""Keys on requests: credentials, short-lived tokens, AWS signatures."""
