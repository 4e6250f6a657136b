#!/usr/bin/env bash
# click: Ctrl-C in a command ends the program with 1 and "Aborted!", not with 130, the code that shells and `trap` scripts
# expect of a program that was interrupted, nor by the signal, as plain Python. An EOFError anywhere in a command, also one
# that has nothing to do with a prompt, is taken for an abort as well: its text and its traceback are gone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q click==8.5.1 2>/dev/null
cat > command.py <<'PYTHON'
import os
import signal

import click


@click.group()
def app():
    pass


@app.command()
def interrupted():
    os.kill(os.getpid(), signal.SIGINT)


@app.command()
def short_file():
    raise EOFError("the file ends after 3 of 8 bytes")


app()
PYTHON
cat > seen.py <<'PYTHON'
import importlib.metadata
import subprocess
import sys

print("click", importlib.metadata.version("click"))
found = {}
for name in ("interrupted", "short-file"):
    done = subprocess.run([sys.executable, "command.py", name], capture_output=True, text=True)
    found[name] = (done.returncode, done.stdout, done.stderr.strip())
    print(name, found[name])
plain = subprocess.run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGINT)"], capture_output=True)
print("plain Python", plain.returncode)
assert found["interrupted"] == (1, "", "Aborted!"), "Ctrl-C has another end now"
assert found["short-file"] == (1, "", "Aborted!"), "an EOFError is shown now"
assert plain.returncode == -2
PYTHON
v/bin/python seen.py
