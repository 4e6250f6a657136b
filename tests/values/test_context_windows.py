"""How many tokens a model takes: of the snapshot, in a file of its own, and of a price file of one's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mellite.errors import ConfigurationError
from mellite.values.prices.pricelist import SNAPSHOT, PriceList, prices

WINDOWS = Path(SNAPSHOT).with_name("context_windows.json")


@pytest.mark.parametrize(
    ("provider", "model", "window"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", 128_000),
        ("anthropic", "claude-opus-4-5-20251101", 200_000),
        ("gemini", "gemini-2.5-flash", 1_048_576),
        ("openai", "no-such-model", None),
        ("my own computer", "gpt-4o", None),
    ],
)
def test_a_window_is_found_by_the_names_of_the_prices(provider: str, model: str, window: int | None) -> None:
    """Dated names, aliases and mellite's names of providers lead to the same model; what is unknown is None."""
    assert prices().context_window(model, provider) == window


def test_every_window_is_of_a_model_with_a_price() -> None:
    """The file holds numbers of tokens only, for more than a thousand models of the snapshot."""
    held: dict[str, dict[str, int]] = json.loads(WINDOWS.read_text(encoding="utf-8"))
    known = {(provider, model) for provider, models in held.items() for model in models}
    assert len(known) > 1000
    assert known <= set(prices().models())
    assert all(type(window) is int and 500 < window < 20_000_000 for each in held.values() for window in each.values())


def test_prices_do_not_read_the_windows() -> None:
    """Who asks for a price opens the snapshot only; who asks for a window, the other file as well."""
    code = """
import sys
from mellite.values.prices.pricelist import prices
opened = []
sys.addaudithook(lambda name, args: opened.append(str(args[0])) if name == "open" else None)
assert prices().find("gpt-4o", "openai") is not None
assert len([*prices().models()]) > 2000
assert sum("price_data" in each for each in opened) == 1, opened
assert prices().context_window("gpt-4o", "openai") == prices().context_window("gpt-4o", "openai") > 0
assert sum("price_data" in each for each in opened) == 2, opened
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def written(folder: Path, model: dict[str, Any]) -> Path:
    """A price file with one model, which another provider sells too."""
    providers = {
        "acme": {"models": {"m": {"prices": [{"input": 1}], **model}}},
        "shop": {"models": {}, "also": ["acme"]},
    }
    path = folder / "prices.json"
    path.write_text(json.dumps({"version": 1, "date": "2026-01-02", "providers": providers}), encoding="utf-8")
    return path


def test_a_file_of_ones_own_has_its_own(tmp_path: Path) -> None:
    """A price file says it with the model, or it is unknown, whatever the snapshot says."""
    path = written(tmp_path, {"context_window": 4096})
    assert [prices(path).context_window("m", each) for each in ("acme", "shop")] == [4096, 4096]
    (tmp_path / "b").mkdir()
    assert prices(written(tmp_path / "b", {})).context_window("m", "acme") is None


def test_a_provider_that_sells_models_of_others() -> None:
    """Azure sells OpenAI's models, with OpenAI's windows where it has no own."""
    listed = prices()
    assert "gpt-4-0613" not in json.loads(WINDOWS.read_text(encoding="utf-8")).get("azure", {})
    assert listed.context_window("gpt-4-0613", "azure") == listed.context_window("gpt-4-0613", "openai") == 8192


@pytest.mark.parametrize("window", [0, -1, "many", 1.5])
def test_a_wrong_window_is_an_error_that_names_the_file(tmp_path: Path, window: object) -> None:
    """It is found when the file is read."""
    with pytest.raises(ConfigurationError, match=r"prices\.json.*(context_window|Expected `int)"):
        prices(written(tmp_path, {"context_window": window}))


def test_the_list_is_made_as_before() -> None:
    """The snapshot itself holds no windows: what prices cost to read has not grown."""
    data = Path(SNAPSHOT).read_bytes()
    assert b"context_window" not in data
    assert PriceList(data, SNAPSHOT).context_window("gpt-4o", "openai") == 128_000
