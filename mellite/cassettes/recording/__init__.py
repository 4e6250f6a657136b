"""Recording: a transport that passes on what arrives, and stores each answer when it ends."""


def __getattr__(name: str) -> object:
    """Return what a module at this path had under a name, for pickles made before it became a package."""
    from ...values.former_paths import moved

    return moved(__name__, name)
