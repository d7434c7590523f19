"""Small random tables, written once as Parquet and read by both engines.

A name stands for one type wherever it is, so that NATURAL and USING find pairs: `k` and `i` INT, `b` BIGINT, `x` DOUBLE,
`d` DECIMAL(10,2), `s` and `g` TEXT, `p` BOOLEAN, `dt` DATE, `ts` TIMESTAMP of microseconds. Values come from short lists,
so that rows meet in joins, groups and sets; `ia`, `ib`, … number a table's rows; doubles are sums of powers of two, so that no order of adding changes them.
"""
import datetime as dt
import os
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

TYPES = {"k": "int", "i": "int", "b": "int", "x": "dbl", "y": "dbl", "d": "dec", "s": "text", "g": "text", "p": "bool",
         "dt": "date", "ts": "ts"}
TYPES |= dict.fromkeys(["ia", "ib", "ic", "ie"], "int")
ARROW = {"k": pa.int32(), "i": pa.int32(), "b": pa.int64(), "x": pa.float64(), "y": pa.float64(), "d": pa.decimal128(10, 2),
         "s": pa.string(), "g": pa.string(), "p": pa.bool_(), "dt": pa.date32(), "ts": pa.timestamp("us")}
ARROW |= dict.fromkeys(["ia", "ib", "ic", "ie"], pa.int32())
NAN, INF = float("nan"), float("inf")
DATES = [dt.date(2024, 2, 29), dt.date(2024, 1, 31), dt.date(2023, 12, 31), dt.date(2026, 3, 1), dt.date(1969, 12, 31), dt.date(2000, 1, 1)]
TIMES = [dt.datetime(2024, 2, 29, 23, 59, 59, 999999), dt.datetime(2024, 1, 31), dt.datetime(2023, 12, 31, 12, 30),
         dt.datetime(2026, 3, 1, 0, 0, 0, 1), dt.datetime(1969, 12, 31, 23, 0, 0, 500000), dt.datetime(2000, 1, 1)]
VALUES = {
    "k": [0, 1, 1, 2, 3], "i": [-1, 0, 1, 2, 7, 100], "b": [-5, 0, 1, 2, 3, 1000000007],
    "x": [0.0, 1.0, 1.5, -2.25, 2.0, 3.0, 0.5], "y": [0.0, 1.0, 1.0, -1.0, 8.0],
    "d": [Decimal(v) for v in ("0.00", "1.00", "1.50", "-2.25", "0.01", "3.33", "100.00")],
    "s": ["", "a", "b", "ab", "B", "é", "a b", "1", "x%y_z"], "g": ["a", "a", "b", "c"], "p": [True, False],
    "dt": DATES, "ts": TIMES,
}
#: Put into the lists of some sets only: most statements over them would end in an error of both engines otherwise.
EDGES = {
    "i": [2147483647, -2147483648], "b": [9223372036854775807, -9223372036854775808, 9007199254740993],
    "x": [NAN, NAN, INF, -INF], "y": [NAN, -0.0], "d": [Decimal("99999999.99"), Decimal("-99999999.99")],
    "dt": [dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1677, 9, 20)],
    "ts": [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59), dt.datetime(2262, 4, 12)], "s": ["ÀÉ", "ﬁ", "🌊"],
}


class Table:
    """Rows of a name's columns; `rows` are lists in the order of `names`."""

    def __init__(self, name, names, rows, group):
        self.name, self.names, self.rows, self.group = name, names, rows, group

    def columns(self):
        return [(n, TYPES[n]) for n in self.names]

    def write(self, path):
        schema = pa.schema([(n, ARROW[n]) for n in self.names])
        arrays = [pa.array([row[i] for row in self.rows], type=ARROW[n]) for i, n in enumerate(self.names)]
        pq.write_table(pa.table(arrays, schema=schema), path, row_group_size=self.group)

    def without(self, place):
        return Table(self.name, self.names, self.rows[:place] + self.rows[place + 1:], self.group)

    def as_text(self):
        head = ", ".join(f"{n} {ARROW[n]}" for n in self.names)
        return f"{self.name}({head})\n" + "".join("    " + ", ".join("null" if c is None else str(c) for c in row) + "\n" for row in self.rows)


def draw(rng):
    """A set of tables: three of up to 8 rows and an empty one."""
    edges = {c for c in EDGES if rng.random() < 0.12}
    pools = {c: VALUES[c] + (EDGES[c] if c in edges else []) for c in VALUES}
    tables = []
    for name in ("ta", "tb", "tc", "te"):
        others = [c for c in VALUES if c != "k"]
        names = ["k"] + sorted(rng.sample(others, rng.randint(2, 5)), key=others.index)
        nulls = {c: rng.choice([0, 0.15, 0.15, 0.4]) for c in names}
        count = 0 if name == "te" else rng.choice([1, 2, 3, 4, 5, 6, 7, 8])
        rows = [[None if rng.random() < nulls[c] else rng.choice(pools[c]) for c in names] for _ in range(count)]
        if rows and rng.random() < 0.3:
            rows.append(list(rng.choice(rows)))
        names.append("i" + name[1])
        rng.shuffle(rows)
        rows = [[*row, i] for i, row in enumerate(rows, 1)]
        if rows and rng.random() < 0.15:
            place = rng.randrange(1, len(names) - 1)
            for row in rows:
                row[place] = None
        tables.append(Table(name, names, rows, rng.choice([1, 2, 3, 100])))
    return tables
