#!/usr/bin/env bash
# tenacity: `retry_if_not_exception_type(BadRequest)`, the usual way to say "not where it cannot help", also retries what is
# not an Exception: CancelledError and KeyboardInterrupt. A cancelled call asks the model once more and returns an answer as
# if nothing had happened; `asyncio.timeout` around it ends late and raises no TimeoutError, `wait_for` gives the late
# answer, and Ctrl-C starts the next attempt. The default (`retry_if_exception_type()`) stands for Exception alone, which
# is why one expects the opposite to be its complement. Name what may be retried, or add BaseExceptions by hand:
# `retry_if_exception(lambda error: isinstance(error, Exception) and not isinstance(error, BadRequest))`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q tenacity==9.2.1 2>/dev/null
cat > seen.py <<'PYTHON'
import asyncio
from importlib.metadata import version

from tenacity import retry, retry_if_exception, retry_if_exception_type, retry_if_not_exception_type, stop_after_attempt


class BadRequest(Exception):
    pass


rules = {
    "the default": retry_if_exception_type(),
    "not BadRequest": retry_if_not_exception_type(BadRequest),
    "Exception, not BadRequest": retry_if_exception(
        lambda error: isinstance(error, Exception) and not isinstance(error, BadRequest)
    ),
}


async def seen(rule, end):
    """What came of a call of 0.2 s that was ended after 0.05 s, and how often the model was asked."""
    asked = []

    @retry(retry=rule, stop=stop_after_attempt(5))
    async def ask():
        asked.append("Hi.")
        await asyncio.sleep(0.2)
        return "an answer"

    try:
        result = await end(ask())
    except BaseException as error:
        result = type(error).__name__
    return result, len(asked)


async def cancel(call):
    task = asyncio.create_task(call)
    await asyncio.sleep(0.05)
    task.cancel()
    return await task


async def timeout(call):
    async with asyncio.timeout(0.05):
        return await call


async def wait_for(call):
    return await asyncio.wait_for(call, 0.05)


def interrupt(rule):
    """The same for Ctrl-C in the first attempt of a plain function."""
    asked = []

    @retry(retry=rule, stop=stop_after_attempt(5))
    def ask():
        asked.append("Hi.")
        if len(asked) == 1:
            raise KeyboardInterrupt
        return "an answer"

    try:
        result = ask()
    except BaseException as error:
        result = type(error).__name__
    return result, len(asked)


print("tenacity", version("tenacity"))
for name, rule in rules.items():
    ended = {end.__name__: asyncio.run(seen(rule, end)) for end in (cancel, timeout, wait_for)}
    ended["Ctrl-C"] = interrupt(rule)
    print(f"{name}: {ended}")
    if name == "not BadRequest":
        assert set(ended.values()) == {("an answer", 2)}, "cancelled calls are not retried any more"
    else:
        assert ended["cancel"] == ("CancelledError", 1) and ended["timeout"] == ("TimeoutError", 1)
        assert ended["Ctrl-C"] == ("KeyboardInterrupt", 1)
PYTHON
v/bin/python seen.py
