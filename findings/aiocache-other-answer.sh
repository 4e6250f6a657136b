#!/usr/bin/env bash
# aiocache: the key of `@cached()` is `str()` of the arguments. One would expect equality to count, or an error for what has
# none: an object without a `__repr__` of its own is its address there, and CPython gives the address of a dropped object
# to the next one. So a call with a new prompt object gets the answer to another prompt, at random. Large numpy arrays are
# shortened by `str()` ("..."), so two embeddings that differ in the middle are one key as well. Give `key_builder=`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q aiocache==0.12.3 numpy==2.4.6 2>/dev/null
cat > seen.py <<'PYTHON'
import asyncio
from importlib.metadata import version

import numpy
from aiocache import cached


class Prompt:
    """What any client has: an object that holds a text."""

    def __init__(self, text):
        self.text = text


@cached()
async def answer(prompt):
    return f"the answer to {prompt.text}"


@cached(key_builder=lambda function, prompt: prompt.text)
async def answer_by_text(prompt):
    return f"the answer to {prompt.text}"


@cached()
async def middle(vector):
    return float(vector[500])


async def wrong(ask):
    """How many of 100 prompts, each its own text and object, got the answer to another one."""
    return sum([await ask(Prompt(f"{number}.")) != f"the answer to {number}." for number in range(100)])


async def main():
    print("aiocache", version("aiocache"))
    by_address, by_text = await wrong(answer), await wrong(answer_by_text)
    print(f"answers to another prompt, of 100: {by_address}; with a key_builder: {by_text}")
    vectors = [numpy.zeros(1536), numpy.zeros(1536)]
    vectors[1][500] = 1.0
    embedded = [await middle(vector) for vector in vectors]
    print(f"element 500 of two vectors, 0.0 and 1.0: {embedded}")
    assert by_address > 50, "objects are told apart now"
    assert by_text == 0
    assert embedded == [0.0, 0.0], "arrays are told apart now"


asyncio.run(main())
PYTHON
v/bin/python seen.py
