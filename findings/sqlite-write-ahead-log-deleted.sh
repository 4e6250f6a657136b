#!/usr/bin/env bash
# SQLite in WAL mode: a program that opens and closes the file of its own open database, if only to read its first bytes,
# loses its lock on it without a word (POSIX locks belong to the process). The next process that closes the database then
# takes itself for the last one and deletes the write-ahead log, into which the first one goes on to write: its commits
# succeed and are durable nowhere: nobody else sees them, and kill -9 loses them, until it closes the database itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > seen.py <<'PYTHON'
import os
import sqlite3
import subprocess
import sys

COUNT = "import sqlite3; print(sqlite3.connect('{0}').execute('SELECT count(*) FROM rows').fetchone()[0])"
WRITE = "import sqlite3; c = sqlite3.connect('{0}'); c.execute('INSERT INTO rows VALUES (2)'); c.commit(); c.close()"
DIES = """
import os, sqlite3, subprocess, sys
database = sqlite3.connect("{0}", isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute("CREATE TABLE rows (number)")
database.execute("INSERT INTO rows VALUES (1)")
if {1}:
    open("{0}", "rb").close()
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
database.execute("INSERT INTO rows VALUES (3)")
print(subprocess.run([sys.executable, "-c", sys.argv[2]], check=True, capture_output=True, text=True).stdout, flush=True)
os.kill(os.getpid(), 9)
"""


def seen(name, looks):
    text = DIES.format(name, looks)
    command = [sys.executable, "-c", text, WRITE.format(name), COUNT.format(name)]
    while_open = int(subprocess.run(command, capture_output=True, text=True).stdout)
    left = subprocess.run([sys.executable, "-c", COUNT.format(name)], capture_output=True, text=True, check=True).stdout
    return while_open, int(left)


print("SQLite", sqlite3.sqlite_version, "Python", sys.version.split()[0])
found = {"left alone": seen("a.db", False), "opened and closed": seen("b.db", True)}
for how, (while_open, left) in found.items():
    print(f"{how}: of 3 committed rows others see {while_open}, and {left} after kill -9")
assert found["left alone"] == (3, 3)
assert found["opened and closed"] == (2, 2), "the lock is kept now"
PYTHON
python3 seen.py
