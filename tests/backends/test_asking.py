"""A backend by its name, wherever a backend is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

import mellite
from mellite.errors import ConfigurationError, UnknownProvider
from mellite.requirements import judge
from tests.cli.programs import cassette

pytestmark = pytest.mark.anyio


async def test_generate_takes_a_name(tmp_path: Path) -> None:
    """`mellite.generate` takes what `mellite.backend` takes; nothing is sent before the thunk is driven."""
    assert await mellite.generate("fake:constant:Hello.", "Greet me.") == "Hello."
    path = cassette(tmp_path / "chat.json", "Hi.", ["Hello."])
    for _ in range(2):  # a cassette begins anew for each
        assert await mellite.generate(f"cassette:{path}", "Hi.") == "Hello."


def test_a_provider_is_shared() -> None:
    """Calls that name the same provider and model share a backend, and with it its connections; the key is not read."""
    one, two = [mellite.generate("openai:gpt-4o-mini", "Hi.") for _ in range(2)]
    other = mellite.generate("openai:gpt-4o", "Hi.")
    assert one._call.backend is two._call.backend
    assert one._call.backend is not other._call.backend
    assert one.state == "pending"


async def test_others_that_ask() -> None:
    """A stream with validation, a judge and a fallback take names as well."""
    async with mellite.stream("Greet me.", backend="fake:constant:Hello.") as s:
        assert [chunk async for chunk in s] == ["Hello."]
    [verdict] = await mellite.check(
        "Hi.", [judge('fake:constant:{"reason": "It greets.", "passed": true}', "It greets.")]
    )
    assert verdict.passed
    failing = mellite.backends.Failing(ValueError("no")).generate("Greet me.")
    assert (await mellite.Fallback("fake:constant:Hello.").sample(failing)).value == "Hello."


def test_a_name_that_is_none() -> None:
    """A name that names nothing is refused when the thunk is made."""
    with pytest.raises(UnknownProvider, match="PROVIDER:MODEL"):
        mellite.generate("gpt-4o-mini", "Hi.")
    with pytest.raises(ConfigurationError, match="fake:echo"):
        mellite.generate("fake:nobody", "Hi.")
    with pytest.raises(ConfigurationError, match="int has none"):
        mellite.generate(5, "Hi.")  # type: ignore[call-overload]
