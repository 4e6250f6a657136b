"""Programs to copy: each runs as ``python -m mellite.recipes.NAME``, without a key."""
