"""Ollama's own chat, for its clients: mellite itself asks Ollama by Chat Completions."""
