"""Transports, which send requests: over aiohttp, httpx2 or WebSockets, or scripted. HTTP clients are used only here."""
