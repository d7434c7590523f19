"""Digests of the tables of the batch jobs as DuckDB makes them by the same SQL: what tests/engine/jobs.rs expects.

usage: make_jobs.py --data DIR [--tidemill target/debug/tidemill] > tests/engine/golden/jobs.json
DIR has olist/ and online_retail/ (data/README.md). The samples are made by `tidemill data generate`, as in the tests.

A table's digest: its rows; its columns that are no floats, with the sum (modulo 2^64) over the rows of the XXH3 of the row's
cells as text, nulls as NUL, joined by U+001F; and for each float column its nulls and the sum of value times weight, where
the weight is the row's hash modulo 1000 (so that a value in the wrong row shows). Floats are compared to 1e-9.

Needs: pip install duckdb pyarrow xxhash
"""
import argparse, glob, json, os, subprocess, sys, tempfile

import duckdb, pyarrow as pa, xxhash

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, f"{ROOT}/tests/peers")
import batch_sql

TABLES = {
    "olist": ["order_gaps", "zip_locations", "wide", "wide_counts", "rfm", "demand_by_category", "items_by_month", "revenue_by_month", "people_by_state", "people_by_city"],
    "online_retail": ["lines", "insiders_lines", "insiders_counts", "insiders_features", "segments_lines", "segments_counts", "segments_features"],
}
SAMPLES = {"olist": 2000, "online_retail": 20000}


def text(column):
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    if pa.types.is_boolean(column.type):
        return [{None: "\0", True: "true", False: "false"}[cell] for cell in column.to_pylist()]
    return ["\0" if cell is None else cell for cell in column.cast(pa.string()).to_pylist()]


def digest(table):
    floats = [n for n in table.column_names if pa.types.is_floating(table.schema.field(n).type)]
    exact = [n for n in table.column_names if n not in floats]
    hashes = [xxhash.xxh3_64_intdigest("\x1f".join(cells).encode()) for cells in zip(*(text(table[n]) for n in exact))]
    def weighed(name):
        cells = table[name].to_pylist()
        return [sum(c is None for c in cells), sum(c * (h % 1000) for c, h in zip(cells, hashes) if c is not None)]
    return {"rows": table.num_rows, "exact": exact, "hash": f"{sum(hashes) % 2**64:016x}", "floats": {n: weighed(n) for n in floats}}


def job(folder, data):
    con = duckdb.connect()
    batch_sql.duckdb_inputs(con, folder, data)
    tables = {}
    for name in TABLES[folder]:
        con.execute(f"CREATE TABLE {name} AS {batch_sql.sql_of(folder, name)}")
        tables[name] = digest(con.sql(f"FROM {name}").to_arrow_table())
    return tables


parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--tidemill", default=f"{ROOT}/target/debug/tidemill")
args = parser.parse_args()
golden = {}
for folder, rows in SAMPLES.items():
    golden[folder] = {}
    with tempfile.TemporaryDirectory() as work:
        batch_sql.unpacked(args.data, folder, f"{work}/real")
        golden[folder]["real"] = job(folder, f"{work}/real")
        command = ["data", "generate", folder.replace("_", "-"), "--rows", str(rows), "--seed", "1", "--out", f"{work}/sample/{folder}"]
        subprocess.run([args.tidemill, *command], check=True, stderr=subprocess.DEVNULL)
        golden[folder]["sample"] = job(folder, f"{work}/sample")
print(json.dumps(golden, indent=1))
