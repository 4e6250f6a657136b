#!/usr/bin/env bash
# pyrate-limiter: the name in `limiter.try_acquire("ann")` does not choose a bucket. All names share the one of the limiter:
# with a rate of 2 a minute "ann" and "bob" use it up, and "cem", who has done nothing, waits. Up to version 2 each name
# had its own count, and no error tells who moved to a newer one. For a limit per user,
# key or model write a BucketFactory that keeps a bucket for each name, or a limiter for each.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q pyrate-limiter==4.5.1 2>/dev/null
python3 -m venv older
older/bin/pip install -q pyrate-limiter==2.10.0 2>/dev/null
cat > seen.py <<'PYTHON'
from importlib.metadata import version

from pyrate_limiter import Limiter

names = ["ann", "bob", "cem", "dia"]
if version("pyrate-limiter").startswith("2."):
    from pyrate_limiter import BucketFullException, Duration, RequestRate

    limiter = Limiter(RequestRate(2, Duration.MINUTE))

    def is_let(limiter, name):
        try:
            limiter.try_acquire(name)
        except BucketFullException:
            return False
        return True

    expected = [True, True, True, True]
else:
    from pyrate_limiter import Duration, Rate

    limiter = Limiter(Rate(2, Duration.MINUTE))

    def is_let(limiter, name):
        return limiter.try_acquire(name, blocking=False)

    expected = [True, True, False, False]

seen = [is_let(limiter, name) for name in names]
print("pyrate-limiter", version("pyrate-limiter"), dict(zip(names, seen)))
assert seen == expected, "names are counted in another way now"
PYTHON
older/bin/python seen.py
v/bin/python seen.py
