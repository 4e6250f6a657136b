"""Providers: for each company its name, URL, keys and environment variables. Only here are routes put together."""
