"""Figures of pandas for the columns of a small file: what `tidemill describe` is held to in tests/engine/batch_audits.rs.

Bless again:  pip install pandas && python tests/engine/golden/make_describe.py
Writes describe.csv (the file) and describe.json beside this one; review the difference before committing it.

Quartiles are pandas' (linear). Where `DataFrame.describe` leaves figures out, they are those of the column's own methods:
least and greatest text by code point; a boolean's mean and deviation as of 0 and 1. A decimal is described as a float. A
NaN is a missing value.
"""
import json
import random
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
ROWS = 46
TYPES = {"id": "BIGINT", "amount": "DECIMAL(10,2)", "ratio": "DOUBLE", "grade": "INT", "name": "TEXT", "day": "DATE", "at": "TIMESTAMP", "ok": "BOOLEAN", "nothing": "DOUBLE", "one": "DOUBLE", "gaps": "DOUBLE", "never": "DOUBLE"}
chance = random.Random(5)
NAMES = ["São Paulo", "sao paulo", "Rio", "rio", "Ávila", "", "zebra, striped", 'the "best"', "10", "9"]


def cell(column, row):
    if column == "gaps":
        return [None, "NaN", "nan", "0.5", "-2", "1.25", "0.5"][row % 7]
    if column == "never":
        return "NaN"
    if column == "id":
        return str(9_000_000_000 - row * 7)
    if column == "nothing" or column == "one" and row != 3 or chance.random() < 0.2:
        return None
    day = pd.Timestamp("2016-09-04") + pd.Timedelta(days=chance.randrange(1000))
    return {
        "amount": f"{chance.randrange(-5_000, 1_000_000) / 100:.2f}",
        "ratio": repr(chance.gauss(0, 1) * 10 ** chance.randrange(-8, 8)),
        "grade": str(chance.randrange(1, 6)),
        "name": chance.choice(NAMES) or None,
        "day": day.date().isoformat(),
        "at": str(day + pd.Timedelta(microseconds=chance.randrange(86_400_000_000))),
        "ok": chance.choice(["true", "false", "true"]),
        "one": "0.1",
    }[column]


def figures(values, kind):
    known = values.dropna()
    found = {"count": len(known), "nulls": len(values) - len(known), "distinct": known.nunique()}
    if kind == "TEXT":
        return found | {"min": known.min(), "max": known.max()}
    if kind == "BOOLEAN":
        numbers = known.astype(float).describe()
        return found | {"mean": numbers["mean"], "std": numbers["std"], "min": str(known.min()).lower(), "max": str(known.max()).lower()}
    told = known.describe()
    if kind in ("DATE", "TIMESTAMP"):
        return found | {name: told[name].isoformat() for name in ["mean", "min", "25%", "50%", "75%", "max"]}
    return found | {name: told[name] for name in ["mean", "std", "min", "25%", "50%", "75%", "max"] if pd.notna(told[name])}


rows = pd.DataFrame({column: [cell(column, row) for row in range(ROWS)] for column in TYPES})
rows.to_csv(HERE / "describe.csv", index=False)
rows = pd.read_csv(HERE / "describe.csv", dtype={"name": str})
golden = {"pandas": pd.__version__, "types": {c: t for c, t in TYPES.items() if t != "TEXT"}, "columns": {}}
for column, kind in TYPES.items():
    values = pd.to_datetime(rows[column], format="ISO8601") if kind in ("DATE", "TIMESTAMP") else rows[column]
    told = figures(values, kind)
    golden["columns"][column] = {name: figure.item() if hasattr(figure, "item") else figure for name, figure in told.items()}
(HERE / "describe.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
