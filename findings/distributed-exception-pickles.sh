#!/usr/bin/env bash
# Importing distributed changes how every exception of the program is pickled.
#
# distributed 2026.8.0 installs tblib's support for pickles as it is imported, for all classes of exceptions that there
# are by then. From then on an exception takes its cause, its context and its traceback along; one that could be pickled
# can no longer be, if something in its causes cannot. Classes that are defined later are pickled as ever, so that the
# same code works or fails by the order of imports. A class cannot defend itself by __reduce__ or __reduce_ex__: the
# table of copyreg, into which tblib writes, comes first.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check distributed==2026.8.0 tblib==3.2.2

cat > "$folder/case.py" <<'PYTHON'
import pickle
import threading


class Told(Exception):
    pass


class Cause(Exception):
    def __init__(self):
        super().__init__("it holds a lock")
        self.lock = threading.Lock()


def raised(kind):
    try:
        try:
            raise Cause
        except Cause as cause:
            raise kind("odd") from cause
    except kind as error:
        return error


def pickled(kind):
    try:
        return repr(pickle.loads(pickle.dumps(raised(kind))))
    except TypeError as error:
        return str(error)


print("before:", pickled(Told))
import distributed  # noqa: F401, E402

print("behind:", pickled(Told))


class Later(Exception):
    pass


print("later class:", pickled(Later))
PYTHON

"$folder/venv/bin/python" "$folder/case.py" | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
before: Told('odd')
behind: cannot pickle '_thread.lock' object
later class: Later('odd')
SEEN
