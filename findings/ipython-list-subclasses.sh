#!/usr/bin/env bash
# IPython: an object whose `_repr_mimebundle_` has text/plain is shown by it, but not one whose class inherits from list,
# dict, set, tuple or str: the printer of that type wins for text/plain, and the rest of the bundle is kept, so that the two
# say different things. One would expect the object's own word to win. A `_repr_pretty_` in the class itself does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q ipython==9.18.1 2>/dev/null
cat > seen.py <<'PYTHON'
import IPython
from IPython.core.formatters import DisplayFormatter


class Bundled:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "from the bundle", "text/html": "from the bundle"}


class BundledList(Bundled, list):
    pass


class PrettyList(BundledList):
    def _repr_pretty_(self, printer, cycle):
        printer.text("from _repr_pretty_")


print("IPython", IPython.__version__)
shown = {kind.__name__: DisplayFormatter().format(kind())[0] for kind in (Bundled, BundledList, PrettyList)}
for name, bundle in shown.items():
    print(name, bundle)
assert shown["Bundled"]["text/plain"] == "from the bundle"
assert shown["BundledList"] == {"text/plain": "[]", "text/html": "from the bundle"}, "the bundle wins now"
assert shown["PrettyList"]["text/plain"] == "from _repr_pretty_"
PYTHON
v/bin/python seen.py
