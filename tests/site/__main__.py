"""Write the tables of docs/ that come of the code: python -m tests.site. A test fails until that is done."""

from __future__ import annotations

from tests.site.written import write

if __name__ == "__main__":
    write()
