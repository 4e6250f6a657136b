#!/usr/bin/env bash
# `python -m asyncio` reading a pipe: what is indented last is dropped when the input ends, without running, without an
# error, and with exit code 0, unless a blank line follows it. A check that types a page into the prompt and looks for
# tracebacks passes for a last block that would raise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > seen.py <<'PYTHON'
import platform
import subprocess
import sys


def typed(text):
    done = subprocess.run([sys.executable, "-m", "asyncio"], input=text, capture_output=True, text=True)
    return done.returncode, "ran" in done.stdout, "ZeroDivisionError" in done.stderr


BLOCK = "for n in range(1):\n    print('ra' + 'n'); 1 / 0\n"
print("Python", platform.python_version())
print("exit code, ran, raised; the block at the very end:", typed(BLOCK))
print("exit code, ran, raised; and a blank line behind it:", typed(BLOCK + "\n"))
assert typed(BLOCK) == (0, False, False), "a last block runs now, or is an error"
assert typed(BLOCK + "\n")[1:] == (True, True), "a blank line is not enough any more"
PYTHON
python3 seen.py
