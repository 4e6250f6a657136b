#!/usr/bin/env bash
# polars: arithmetic with a Decimal column keeps the larger scale of its two sides, for `*` and `/` as for `+`, and rounds
# the rest away without a word. Prices per million tokens have two places, so `tokens * price / 1_000_000` is in cents:
# 10 tokens at 0.15 cost 0.00, and `tokens * (price / 1_000_000)` is 0.00 for any number of them. Python's Decimal, of
# which the column was made, is exact, DuckDB divides to a double. And `DataFrame` of dicts takes the scale from the first
# 100 rows: exact costs such as 0.0000027 behind them become 0.00. Cast to `Decimal(38, 12)` first, or give a schema.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/pip install -q polars==2.1.0 2>/dev/null
cat > seen.py <<'PYTHON'
from decimal import Decimal

import polars
from polars import col

PRICE, MILLION = Decimal("0.15"), 1_000_000
calls = polars.DataFrame({"tokens": [10, 2 * MILLION], "price": [PRICE, PRICE]})
exact = [tokens * PRICE / MILLION for tokens in calls["tokens"]]
wide = col("price").cast(polars.Decimal(38, 12))
print("polars", polars.__version__, "for tokens", calls["tokens"].to_list(), "exact", [f"{cost:f}" for cost in exact])
seen = {}
for name, cost in {
    "tokens * price / 1_000_000": col("tokens") * col("price") / MILLION,
    "tokens * (price / 1_000_000)": col("tokens") * (col("price") / MILLION),
    "tokens * (price of 12 places / 1_000_000)": col("tokens") * (wide / MILLION),
}.items():
    column = calls.select(cost=cost)["cost"]
    seen[name] = column.to_list()
    print(f"{name}: {column.dtype}, {[f'{cost:f}' for cost in seen[name]]}")
cents, nothing, right = seen.values()
assert cents == [0, Decimal("0.30")], "a quotient has more places now"
assert nothing == [0, 0], "a quotient has more places now"
assert right == exact

rows = [{"usd": PRICE}] * 100 + [{"usd": Decimal("0.0000027")}]
for where, some in (("row 101", rows), ("row 100", rows[1:])):
    frame = polars.DataFrame(some)
    print(f"a cost of 0.0000027 in {where}: {frame['usd'].dtype}, {frame['usd'][-1]:f}")
    assert (frame["usd"][-1] == 0) is (where == "row 101"), "late values keep their places now"
PYTHON
v/bin/python seen.py
