#!/usr/bin/env bash
# inspect_ai: the scorers `exact()` and `f1()` take punctuation away before they compare, the sign of a number with it:
# `-5` is a correct answer for 5, and so is `5%`. And `match()`, the plain one, asks whether the answer ends with the
# target, wherever a word begins: `12` is correct for 2, `-5` and `0.5` for 5, `1/2` for 2. One would expect `exact` to be
# the strictest of them. A benchmark of arithmetic reports an accuracy that is too high, and no log says why. With
# `match(numeric=True)` numbers are compared as numbers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q inspect_ai==0.3.285 2>/dev/null
cat > seen.py <<'PYTHON'
import asyncio
from importlib.metadata import version

from inspect_ai.model import ModelName, ModelOutput
from inspect_ai.scorer import Target, exact, f1, match
from inspect_ai.solver import TaskState

# The answer of a model, the target, and whether it is right.
ANSWERS = (
    ("5", "5", True),
    ("-5", "5", False),
    ("5%", "5", False),
    ("12", "2", False),
    ("0.5", "5", False),
    ("1/2", "2", False),
)
SCORERS = {"exact()": exact(), "f1()": f1(), "match()": match(), "match(numeric=True)": match(numeric=True)}


async def right(scorer, answer, target):
    output = ModelOutput.from_content("m", answer)
    state = TaskState(ModelName("mock/m"), sample_id=1, epoch=1, input="?", messages=[], output=output)
    return (await scorer(state, Target(target))).value in ("C", 1.0)


async def main():
    print("inspect_ai", version("inspect_ai"))
    wrongly = {}
    for name, scorer in SCORERS.items():
        found = [(answer, target, is_right, await right(scorer, answer, target)) for answer, target, is_right in ANSWERS]
        wrongly[name] = {f"{answer} for {target}" for answer, target, is_right, scored in found if scored and not is_right}
        assert found[0][3], "a right answer is not right any more"
        print(f"{name}: correct, it says, are {sorted(wrongly[name])}")
    assert wrongly["exact()"] == wrongly["f1()"] == {"-5 for 5", "5% for 5"}, "exact() keeps signs now"
    assert wrongly["match()"] == {f"{answer} for {target}" for answer, target, is_right in ANSWERS if not is_right}
    assert "-5 for 5" not in wrongly["match(numeric=True)"]


asyncio.run(main())
PYTHON
v/bin/python seen.py
