#!/usr/bin/env bash
# ray 2.60.0 on Linux: the processes that ray.init() starts are killed when the thread that called it ends.
#
# ray.init() takes seconds, so a program with an event loop calls it in a thread of its own and goes on once it is done.
# The thread ends, and nothing says that this matters. But Ray asks the kernel to end its processes with their parent, and
# to the kernel the parent is the thread, not the process: the servers are gone a moment after the thread, and calls
# fail, or hang for a minute until the program is ended. The thread has to live for as long as Ray does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ray==2.60.0 psutil
cat > "$folder/look.py" <<'PY'
import sys
import threading
import time

import psutil
import ray


def servers():
    found = psutil.Process().children(recursive=True)
    return sum(each.status() != psutil.STATUS_ZOMBIE for each in found)


over = threading.Event()


def start():
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    print("processes while the thread lives:", servers() > 0)
    assert servers() > 0
    if sys.argv[1] == "keep":
        over.wait()


thread = threading.Thread(target=start, daemon=True)
thread.start()
if sys.argv[1] == "keep":
    while not ray.is_initialized():
        time.sleep(0.1)
    time.sleep(3)
    assert servers() > 0
    print("kept: processes 3 s later:", servers() > 0)
else:
    thread.join()
    time.sleep(3)
    print("ended: processes 3 s later:", servers() > 0)
    assert servers() == 0, servers()
import os
import signal

for each in psutil.Process().children(recursive=True):
    each.kill()
os.kill(os.getpid(), signal.SIGKILL)
PY
cd "$folder"
for what in keep end; do
    code=0
    RAY_AUTH_MODE=disabled "$folder/venv/bin/python" look.py "$what" 2> "$folder/$what.log" || code=$?
    if [ "$code" != 137 ]; then cat "$folder/$what.log"; exit 1; fi  # it kills itself at its end, if all was so
done
