"""Python types as JSON: their schema in the order of the source, and strict reading of what a model wrote."""

from __future__ import annotations

from .json_schemas import SchemaCheck
from .mismatches import Mismatch
from .parameters import Parameters
from .scopes import frame_of
from .shape import Shape, shape_of

__all__ = ["Mismatch", "Parameters", "SchemaCheck", "Shape", "frame_of", "shape_of"]
