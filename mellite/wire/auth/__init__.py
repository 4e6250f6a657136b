"""Credentials for requests: keys, tokens that expire, AWS signatures."""
