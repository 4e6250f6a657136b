"""Answers to what clients ask beside generations: the models, and the version that is running."""

from __future__ import annotations

from ..values.provider_json import JsonObject

__all__ = ["listed"]


def listed(path: str, model: str) -> JsonObject | None:
    """Return the answer to a GET of a path; None if nobody asks such a thing.

    Args:
        path: the path, with any prefix.
        model: the only model there is.

    Example:
        >>> listed("/v1/models", "gpt-4o")["data"][0]["id"]
        'gpt-4o'
    """
    if path.endswith("/api/version"):
        return {"version": "0.0.0"}
    if path.endswith("/api/tags"):
        return {"models": [{"name": model, "model": model, "details": {}}]}
    if path.endswith("/v1beta/models"):
        return {"models": [{"name": f"models/{model}", "displayName": model}]}
    if not path.endswith("/models"):
        return None
    # In the words of OpenAI and of Anthropic: each client looks for its own.
    entry = {
        "id": model,
        "object": "model",
        "created": 0,
        "owned_by": "mellite",
        "type": "model",
        "display_name": model,
        "created_at": "1970-01-01T00:00:00Z",
    }
    return {"object": "list", "data": [entry], "has_more": False, "first_id": model, "last_id": model}
