"""Values are put into the places of a text: once, by their names, and nothing else is done."""

from __future__ import annotations

from typing import Any

import pytest

from mellite.errors import InvalidRequest
from mellite.steps import apply_vars


class Told:
    """A value that must not be looked into."""

    def __str__(self) -> str:
        return "told"


@pytest.mark.parametrize(
    ("template", "given", "text"),
    [
        ("{{x}} {x} {{ x }} {{\tx}}", {"x": 1}, "1 1 1 1"),
        ("{{{x}}} {{x} {x}} { x }", {"x": 1}, "{1} {1 1} { x }"),
        ("{a}{{b}}", {"a": "{{b}}", "b": "{a}"}, "{{b}}{a}"),
        ("{x.__class__} {{x.__class__}} {x[0]} {x()}", {"x": Told()}, "{x.__class__} {{x.__class__}} {x[0]} {x()}"),
        ("{x!r:>99999999} {x:>9} {x!s}", {"x": Told()}, "{x!r:>99999999} {x:>9} {x!s}"),
        ('{"a": {"b": 1}} {} {{}} {1} {0x}', {}, '{"a": {"b": 1}} {} {{}} {1} {0x}'),
        ("{x}", {"x": Told()}, "told"),
        ("{größe}", {"größe": 3}, "3"),
        (r"{x}", {"x": r"\1 \g<0>"}, r"\1 \g<0>"),
        ("{vars} {template} {strict} {self}", dict.fromkeys(("vars", "template", "strict", "self"), "v"), "v v v v"),
        ("{x}", {"x": None}, "None"),
        ("{x} {{y}}", None, "{x} {{y}}"),
        ("", {}, ""),
    ],
)
def test_values_in_their_places(template: str, given: dict[str, Any] | None, text: str) -> None:
    assert apply_vars(template, given) == text


def test_a_missing_name_is_an_error_that_names_it() -> None:
    with pytest.raises(InvalidRequest, match=r"'nome'.*'name'") as caught:
        apply_vars("{{nome}}", {"name": 1})
    assert caught.value.parameter == "vars"
    with pytest.raises(InvalidRequest, match=r"'x'.*strict=False"):
        apply_vars("{x}", {})


def test_a_missing_name_may_stay() -> None:
    assert apply_vars("{x} {{ x }} {y}", {"y": 1}, strict=False) == "{x} {{ x }} 1"


def test_a_long_value_is_put_in_whole() -> None:
    value = "{x}" * 400_000
    assert apply_vars("<{x}>", {"x": value}) == f"<{value}>"
    assert apply_vars("{" * 1_000_000 + "x" * 1_000_000, {"x": 1}) == "{" * 1_000_000 + "x" * 1_000_000


@pytest.mark.parametrize(("template", "given", "name"), [(1, {}, "template"), ("", [], "vars"), ("", "x", "vars")])
def test_bad_arguments(template: Any, given: Any, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        apply_vars(template, given)
    assert caught.value.parameter == name
