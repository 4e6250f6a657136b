"""Real servers of others, started here and asked the same things through mellite and through the official SDKs."""
