"""Stock requirements on the form of the answer: JSON that fits a schema or a type; Python that parses."""

from __future__ import annotations

import json as stdlib_json
import warnings
from collections.abc import Mapping
from functools import cached_property
from types import NoneType
from typing import TYPE_CHECKING, NoReturn

from attrs import field, frozen

from ....values.chunking import chunk
from ....values.errors import InvalidRequest, MissingExtra, OutputValidationError
from ....values.json_texts import strict_json
from ....values.output import check_output, parse
from ....values.provider_json import Json
from ..requirement import Requirement
from ..verdict import PASSED, ValidationResult, failed
from .json_prefix import JsonPrefix

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

    from ....thunk.thunk import AnyThunk

__all__ = ["json", "python_syntax"]


def json(
    schema: Mapping[str, object] | bool | None = None,  # noqa: FBT001 - true and false are schemas
    *,
    type: object = None,
) -> Requirement:
    """Require that the answer is JSON and nothing else. A stream that can no longer become JSON fails at once.

    Args:
        schema: a JSON Schema that the value must fit (needs the extra ``schema``). Remote references are refused, never
            fetched.
        type: a type that the value must fit: an attrs class, a dataclass, a msgspec Struct, a TypedDict, a pydantic
            model.

    Raises:
        MissingExtra: if a schema is given, and jsonschema-rs is not installed.
        InvalidRequest: if `schema` is not a JSON Schema, or refers to another document; if `type` has no JSON form.

    Example:
        >>> json(type=list[int]).description
        'The answer is JSON that fits list[int].'
    """
    if not isinstance(schema, (Mapping, bool, NoneType)):
        msg = f"a JSON Schema is a dict, not {_name_of(schema)}; for an answer that fits a type, write json(type=...)"
        raise InvalidRequest(msg, parameter="schema")
    if type is not None:
        check_output(type)
    fits = []
    if schema is not None:
        fits.append("the JSON Schema " + stdlib_json.dumps(schema, ensure_ascii=False, default=str))
    if type is not None:
        fits.append(_name_of(type))
    words = "The answer is JSON" + (f" that fits {' and '.join(fits)}" if fits else ", and nothing else") + "."
    check = _Json(schema, type)
    _ = check.validator if schema is not None else None  # raises for an invalid schema now
    return Requirement(words, check, check_chunk=JsonPrefix())


def _name_of(kind: object) -> str:
    return str(kind) if getattr(kind, "__args__", None) else getattr(kind, "__name__", str(kind))


@frozen(slots=False)
class _Json:
    schema: Mapping[str, object] | bool | None = field(hash=False)
    type: object = field(hash=False)

    @cached_property
    def validator(self) -> Validator:
        """The compiled schema, made on first use; it can be neither copied nor pickled."""
        return _validator(self.schema if self.schema is not None else True)

    def __getstate__(self) -> dict[str, object]:
        return {"schema": self.schema, "type": self.type}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)

    def __deepcopy__(self, memo: object) -> _Json:
        return self

    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        text = thunk.value or ""
        try:
            value = strict_json(text)
        except (ValueError, RecursionError) as error:
            return failed(f"it is not JSON: {error}")
        if self.schema is not None:
            errors = [_told(error) for error in self.validator.iter_errors(value)]
            if errors:
                more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
                return failed(f"it does not fit the JSON Schema: {'; '.join(errors[:3])}{more}")
        if self.type is not None:
            try:
                parse(text, self.type)
            except OutputValidationError as error:
                return failed(f"it does not fit the type: {error.__cause__ or error}")
        return PASSED


def _told(error: ValidationError) -> str:
    path = "".join([f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path])
    return f"${path}: {error.message[:200]}"


def _refuse(uri: str) -> NoReturn:
    msg = f"the schema refers to {uri!r}, which is not fetched; put what it holds under $defs"
    raise ValueError(msg)


def _validator(schema: Json) -> Validator:
    """Return a validator that fetches nothing, and matches every pattern in linear time."""
    try:
        import jsonschema_rs
    except ImportError as error:
        msg = "checking against a JSON Schema needs jsonschema-rs: pip install 'mellite[schema]'"
        raise MissingExtra(msg) from error
    try:
        return jsonschema_rs.validator_for(
            dict(schema) if isinstance(schema, Mapping) else schema,
            retriever=_refuse,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError) as error:
        msg = f"this is not a JSON Schema that can be used: {str(error)[:300]}"
        raise InvalidRequest(msg, parameter="schema") from error


def python_syntax() -> Requirement:
    """Require that the answer parses as Python; if it has fenced code blocks, that each Python block does.

    The code is parsed by the running Python version. Nothing is run or imported.

    Example:
        >>> python_syntax().description
        'The answer is valid Python.'
    """
    return Requirement("The answer is valid Python.", _PythonSyntax())


@frozen
class _PythonSyntax:
    languages: frozenset[str] = field(default=frozenset({"", "py", "python", "python3"}), init=False)

    def __call__(self, thunk: AnyThunk) -> ValidationResult:
        text = thunk.value or ""
        blocks = [block for block in chunk(text, "code-fences") if getattr(block, "kind", "") == "code"]
        codes = [getattr(block, "content", "") for block in blocks if self._language(block) in self.languages]
        if blocks and not codes:
            return failed("it has code blocks, and none of them is Python")
        for code in codes or [text]:
            if wrong := _syntax_error(code):
                return failed(wrong)
        return PASSED

    def _language(self, block: str) -> str:
        info = block.lstrip().partition("\n")[0].strip().lstrip("`~").split()
        return info[0].lower() if info else ""


def _syntax_error(code: str) -> str | None:
    import ast
    import textwrap

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape gives one, and parses
            ast.parse(textwrap.dedent(code))
    except SyntaxError as error:
        return f"it is not valid Python: {error.msg} in line {error.lineno}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"it is not valid Python: {str(error) or type(error).__name__}"
    return None
