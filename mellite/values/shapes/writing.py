"""Writing a JSON Schema: classes stand once under ``$defs``, each with a short name of its own."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..provider_json import Json, JsonObject

__all__ = ["Writer"]


class Writer:
    """Collects the definitions that a schema refers to."""

    def __init__(self) -> None:
        self.definitions: JsonObject = {}
        self._names: dict[object, str] = {}

    def refer(self, key: object, name: str, write: Callable[[], JsonObject]) -> JsonObject:
        """Return a reference to the definition of `key`, which is written when it is first referred to.

        Args:
            key: what is defined; compared by `==`.
            name: what to call it; a number is added if something else has that name.
            write: gives the definition.
        """
        if key not in self._names:
            self._names[key] = chosen = self._free(name)
            self.definitions[chosen] = {}  # holds the place, so that definitions come in the order of their first use
            self.definitions[chosen] = write()
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def adopt(self, schema: JsonObject, *, key: object = None, name: str = "") -> JsonObject:
        """Take over the ``$defs`` of a schema that another library wrote; return the rest, with its references.

        Args:
            schema: the schema.
            key: what it is the schema of, as in `refer`.
            name: what that is called among its own ``$defs``.
        """
        rest = {keyword: value for keyword, value in schema.items() if keyword != "$defs"}
        definitions = schema.get("$defs", {})
        names = {name: self._names[key]} if key in self._names else {}
        for theirs, definition in definitions.items():
            if theirs not in names:
                known = (theirs, repr(definition))
                names[theirs] = self._names.get(known) or self._names.setdefault(known, self._free(theirs))
                self.definitions.setdefault(names[theirs], {})
        for theirs, definition in definitions.items():
            self.definitions[names[theirs]] = _renamed(definition, names)
        renamed: JsonObject = _renamed(rest, names)
        return renamed

    def _free(self, name: str) -> str:
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "Type"
        taken = self.definitions.keys()
        return next(each for each in (plain, *(f"{plain}_{n}" for n in range(2, len(taken) + 3))) if each not in taken)


def _renamed(node: Json, names: dict[str, str]) -> Json:
    if isinstance(node, list):
        return [_renamed(each, names) for each in node]
    if not isinstance(node, dict):
        return node
    done = {key: _renamed(value, names) for key, value in node.items()}
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        name = reference.removeprefix("#/$defs/")
        done["$ref"] = f"#/$defs/{names.get(name, name)}"
    return done
