"""What sends requests: aiohttp and httpx2, WebSockets, scripted answers; the only place for HTTP clients."""
