"""Tables as other engines read them: deltalake, Polars and DuckDB, while a stream runs and afterwards, and of a batch job.

    tests/delta/run.sh [--batches N] [--only batch]

A stream writes batches of all types that Delta has, with NaN, zeros of either sign, long texts and nulls in them, under names
with umlauts and a per cent sign. While it runs each engine reads the newest version that it finds, and an older one; afterwards
the newest, the first that is kept, and by filters that leave out files by their statistics. Every 100 batches small files become
one. Each time the rows have to be those
that `tidemill sql` gives of the batches up to that version: version N is batch N.

A batch job builds tables of the same columns, one of them in folders, again and again, also while they are read: version N is
build N, and its rows those of `VERSION AS OF N`.
"""
import argparse
import datetime
import decimal
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import confluent_kafka
import deltalake
import duckdb
import duckdb_extension_delta
import polars
import pyarrow

BINARY = os.environ["TIDEMILL"]
PER_BATCH = 7
TOPIC = "readings"

SCHEMA = """CREATE TABLE readings (
    id BIGINT NOT NULL, small INT, x DOUBLE, t TEXT, flag BOOLEAN, day DATE, at TIMESTAMP
)"""
# Delta's types, each once at least.
TRANSFORM = """SELECT
    id, CAST(small AS TINYINT) AS tiny, CAST(small AS SMALLINT) AS small, small AS "int%", x,
    CAST(x AS REAL) AS "größe", CAST(x AS DOUBLE) + CASE WHEN id % 11 = 3 THEN CAST('NaN' AS DOUBLE) ELSE 0.0 END AS nan,
    CAST(id AS DECIMAL(38, 3)) AS dec, CAST(small AS DECIMAL(5, 2)) AS short_dec, t, CAST(t AS BYTEA) AS bytes, flag, day, at,
    at AT TIME ZONE 'UTC' AS moment, [id, NULL, id + 1] AS list, named_struct('a', id, 'ü', t) AS "struct",
    _batch_id, _partition, _offset
FROM batch"""


def text(name):
    return f'CAST("{name}" AS TEXT)'


def optional(parse):
    return lambda cell: None if cell is None else parse(cell)


def moment(cell):
    return datetime.datetime.fromisoformat(cell.replace("Z", "+00:00")).replace(tzinfo=datetime.timezone.utc)


# For each column: what `tidemill sql` is asked for, and what its answer is in Python.
COLUMNS = {
    **{name: (f'"{name}"', optional(int)) for name in ["id", "tiny", "small", "int%", "_batch_id", "_partition", "_offset"]},
    **{name: (text(name), optional(float)) for name in ["x", "nan"]},
    # In Python the double that it is.
    "größe": ('CAST(CAST("größe" AS DOUBLE) AS TEXT)', optional(float)),
    **{name: (text(name), optional(decimal.Decimal)) for name in ["dec", "short_dec"]},
    "t": ('"t"', lambda cell: cell),
    "bytes": ("encode(bytes, 'hex')", optional(bytes.fromhex)),
    "flag": ('"flag"', lambda cell: cell),
    "day": (text("day"), optional(datetime.date.fromisoformat)),
    "at": (text("at"), optional(datetime.datetime.fromisoformat)),
    "moment": (text("moment"), optional(moment)),
    "list": ('"list"', lambda cell: cell),
    "struct": ('"struct"', lambda cell: cell),
    "_topic": ('"_topic"', lambda cell: cell),
    "_timestamp": (text("_timestamp"), optional(datetime.datetime.fromisoformat)),
}
# Left out by statistics, where these say that a file has none: (for tidemill and DuckDB, for Polars).
FILTERS = [
    ("nan > 1000", polars.col("nan") > 1000),
    ("x = 0", polars.col("x") == 0),
    ("x < 0", polars.col("x") < 0),
    ('"größe" >= 3.25', polars.col("größe") >= 3.25),
    ("t >= 'zz'", polars.col("t") >= "zz"),
    ("t IS NULL", polars.col("t").is_null()),
    ("\"at\" > TIMESTAMP '2026-03-01 00:00:00.0004'", polars.col("at") > datetime.datetime(2026, 3, 1, 0, 0, 0, 400)),
    ("day = DATE '2026-03-05'", polars.col("day") == datetime.date(2026, 3, 5)),
    ("dec > 20", polars.col("dec") > 20),
    ("id BETWEEN 10 AND 20", polars.col("id").is_between(10, 20)),
]


def messages(numbers):
    for n in numbers:
        record = {"id": n, "small": None if n % 5 == 0 else n % 100 - 50, "x": [0.0, -0.0, n / 7, -n, None, 1e30, 3.3][n % 7]}
        record["t"] = [None, "", "z" * 40 + str(n), "ünïcode " + str(n), "a\"b,\n" + "\U0001f600" * 40][n % 5]
        record["flag"] = [True, False, None][n % 3]
        record["day"] = f"2026-03-{1 + n % 28:02}"
        record["at"] = None if n % 13 == 0 else f"2026-03-01T00:00:00.{n % 1000:06}"
        yield json.dumps(record)


class Stream:
    """A broker, a topic and a stream over it, in a folder."""

    def __init__(self, folder):
        self.folder, self.lake, self.running = folder, f"{folder}/lake", None
        self.table = f"{self.lake}/readings/rows"
        os.makedirs(f"{folder}/jobs")
        self.broker = subprocess.Popen([BINARY, "broker", "--listen", "127.0.0.1:0", "--data-dir", f"{folder}/broker"],
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.address = None
        while self.address is None:
            line = self.broker.stdout.readline()
            if not line:
                raise SystemExit("the broker did not start")
            found = re.search(r"127\.0\.0\.1:\d+", line)
            self.address = found and found[0]
        for name, content in [("schema.sql", SCHEMA), ("transform.sql", TRANSFORM), ("jobs/readings.toml", f"""
[source]
kafka = {{ bootstrap_servers = "{self.address}", subscribe = "{TOPIC}" }}
format = "json"
schema = "schema.sql"
max_offsets_per_trigger = {PER_BATCH}
[trigger]
processing_time = "50ms"
[table]
path = "lake/readings/rows"
transform = "transform.sql"
""")]:
            with open(f"{folder}/{name}", "w") as file:
                file.write(content)
        self.producer = confluent_kafka.Producer({"bootstrap.servers": self.address, "log_level": 0})

    def send(self, numbers):
        for message in messages(numbers):
            self.producer.produce(TOPIC, message.encode(), partition=0)
        if self.producer.flush(30):
            raise SystemExit("not all messages were delivered")

    def command(self, *words):
        return [BINARY, "--lake", self.lake, "--project", self.folder, *words]

    def start(self):
        log = open(f"{self.folder}/stream.log", "a")
        self.running = subprocess.Popen(self.command("stream", "readings"), stdout=log, stderr=log)

    def stop(self):
        for process in [self.running, self.broker]:
            if process and process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(60)

    def sql(self, statement):
        done = subprocess.run(self.command("sql", "--format", "nd-json", statement), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{statement}\n{done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def rows(self, version, condition="TRUE"):
        asked = ", ".join(f'{sql} AS "{name}"' for name, (sql, _) in COLUMNS.items())
        rows = self.sql(f"SELECT {asked} FROM readings.rows WHERE _batch_id <= {version} AND ({condition})")
        return [{name: parse(row.get(name)) for name, (_, parse) in COLUMNS.items()} for row in rows]


def of_deltalake(table, version):
    return deltalake.DeltaTable(table, version=version).to_pyarrow_table().to_pylist()


def of_polars(table, version, condition=None):
    frame = polars.scan_delta(table, version=version)
    frame = frame if condition is None else frame.filter(condition)
    return frame.collect().to_arrow().to_pylist()


def of_duckdb(connection, table, version, condition="TRUE"):
    statement = f"SELECT * FROM delta_scan('{table}', version={version}) WHERE {condition}"
    return connection.execute(statement).to_arrow_table().to_pylist()


def canonical(row):
    """Comparable, NaN with NaN and -0.0 not with 0.0."""
    return repr([(name, plain(row[name])) for name in sorted(row)])


def plain(cell):
    if isinstance(cell, datetime.datetime) and cell.tzinfo:
        return cell.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(cell, decimal.Decimal):
        return ("decimal", str(cell.normalize()))
    if isinstance(cell, dict):
        return sorted((key, plain(part)) for key, part in cell.items())
    return cell


class Batch:
    """A batch job over rows of the same kind, whose tables are built again and again."""

    def __init__(self, folder):
        self.folder, self.lake = folder, f"{folder}/lake"
        for name in ["jobs", "sql/builds"]:
            os.makedirs(f"{folder}/{name}", exist_ok=True)
        select = TRANSFORM.split(",\n    _batch_id")[0]
        types = "id = 'BIGINT', small = 'INT', x = 'DOUBLE', t = 'TEXT', flag = 'BOOLEAN', day = 'DATE', at = 'TIMESTAMP', k = 'TEXT'"
        for name, content in [
            ("sql/builds/flat.sql", f"{select} FROM readings"),
            ("sql/builds/folded.sql", f"{select}, k FROM readings"),
            ("sql/builds/written.sql", "SELECT id, t, x FROM readings"),
            ("jobs/builds.toml", f"""
sql = "sql/builds"
[inputs.readings]
path = "{folder}/readings.jsonl"
types = {{ {types} }}
[[tables]]
name = "folded"
partition_by = ["k", "day", "flag", "tiny"]
[[tables]]
name = "written"
format = "json"
"""),
        ]:
            with open(f"{folder}/{name}", "w") as file:
                file.write(content)
        columns = {name: both for name, both in COLUMNS.items() if not name.startswith("_")}
        self.tables = {
            "flat": columns,
            "folded": {**columns, "k": ("k", lambda cell: cell)},
            "written": {name: COLUMNS[name] for name in ["id", "t", "x"]},
        }

    def data(self, numbers):
        folders = ["a b", "100%", "a/b=c:d", "ü#?", None, "%20", "a+b&c", "'\""]
        with open(f"{self.folder}/readings.jsonl", "w") as file:
            for n, line in zip(numbers, messages(numbers)):
                file.write(json.dumps({**json.loads(line), "k": folders[n % len(folders)]}) + "\n")

    def run(self):
        done = subprocess.run(self.command("run", "builds", "--force"), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)

    def rows(self, table, version):
        columns = self.tables[table]
        asked = ", ".join(f'{sql} AS "{name}"' for name, (sql, _) in columns.items())
        rows = self.sql(f"SELECT {asked} FROM builds.{table} VERSION AS OF {version}")
        return [{name: parse(row.get(name)) for name, (_, parse) in columns.items()} for row in rows]

    command, sql = Stream.command, Stream.sql


class Checks:
    def __init__(self, stream):
        self.stream, self.done, self.failed = stream, 0, 0
        self.duckdb = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        # By its file: by name it asks the internet.
        folder = os.path.dirname(duckdb_extension_delta.__file__)
        [extension] = glob.glob(f"{folder}/**/delta.duckdb_extension", recursive=True)
        self.duckdb.execute(f"LOAD '{extension}'")

    def same(self, what, found, expected):
        self.done += 1
        found, expected = sorted(map(canonical, found)), sorted(map(canonical, expected))
        if found == expected:
            return
        self.failed += 1
        print(f"DIFFERENT: {what}: {len(found)} rows, tidemill has {len(expected)}")
        for row in [row for row in found if row not in expected][:2]:
            print(f"  only there: {row}")
        for row in [row for row in expected if row not in found][:2]:
            print(f"  only here:  {row}")

    def at(self, version):
        table, expected = self.stream.table, self.stream.rows(version)
        self.same(f"deltalake at {version}", of_deltalake(table, version), expected)
        self.same(f"polars at {version}", of_polars(table, version), expected)
        self.same(f"duckdb at {version}", of_duckdb(self.duckdb, table, version), expected)

    def built(self, table, version):
        place, expected = f"{self.stream.lake}/builds/{table}", self.stream.rows(table, version)
        self.same(f"deltalake, {table} at {version}", of_deltalake(place, version), expected)
        self.same(f"polars, {table} at {version}", of_polars(place, version), expected)
        self.same(f"duckdb, {table} at {version}", of_duckdb(self.duckdb, place, version), expected)

    def filtered(self, version):
        for condition, expression in FILTERS:
            expected = self.stream.rows(version, condition)
            table = self.stream.table
            # DuckDB leaves rows out by the footers of Parquet files, which have no NaN in them, whatever the log says.
            if not condition.startswith("nan"):
                self.same(f"duckdb: {condition}", of_duckdb(self.duckdb, table, version, condition), expected)
            self.same(f"polars: {condition}", of_polars(table, version, expression), expected)

    def newest(self):
        return deltalake.DeltaTable(self.stream.table).version()

    def no_writer(self):
        """Others are kept from writing."""
        self.done += 1
        try:
            rows = deltalake.DeltaTable(self.stream.table).to_pyarrow_table().slice(0, 1)
            deltalake.write_deltalake(self.stream.table, rows, mode="append")
        except Exception as error:
            if "tidemill" in str(error):
                return
            print(f"append: {error}")
        self.failed += 1
        print("DIFFERENT: deltalake was not kept from appending by the feature `tidemill`")


def of_batch():
    """What is built again and again."""
    with tempfile.TemporaryDirectory(prefix="delta-") as folder:
        job = Batch(folder)
        checks = Checks(job)
        for build in range(14):
            job.data(range(build, build + 40 + build * 7 % 11))
            job.run()
            if build in [0, 1, 13]:
                for table in job.tables:
                    checks.built(table, build)
        for table in job.tables:
            for version in [4, 9, 12]:
                checks.built(table, version)
        newest = lambda table: deltalake.DeltaTable(f"{job.lake}/builds/{table}").version()
        again = 'for n in 1 2 3 4 5 6; do "$@" || exit 1; done'
        command = ["sh", "-c", again, "run", *job.command("run", "builds", "--force")]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        looks = 0
        while running.poll() is None:
            for table in job.tables:
                checks.built(table, newest(table))
            looks += 1
        if running.returncode:
            raise SystemExit("a run failed")
        for table in job.tables:
            checks.built(table, newest(table))
        for table, files in [("flat", "flat/*.parquet"), ("folded", "folded/*/*/*/*/*.parquet"), ("written", "written/*.json")]:
            found = duckdb.sql(f"SELECT id FROM '{job.lake}/builds/{files}'").fetchall()
            expected = [{"id": row["id"]} for row in job.rows(table, newest(table))]
            checks.same(files, [{"id": number} for (number,) in found], expected)
        doctor = subprocess.run(job.command("doctor"), capture_output=True, text=True)
        if doctor.returncode:
            print(f"DIFFERENT: doctor: {doctor.stdout}{doctor.stderr}")
            checks.failed += 1
    print(f"{looks} looks while tables were built; {checks.done} comparisons of a batch job's tables, {checks.failed} different")
    return checks


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--batches", type=int, default=325, help="batches of the stream")
    arguments.add_argument("--only", choices=["batch"], help="no stream")
    arguments = arguments.parse_args()
    built = of_batch()
    if arguments.only:
        sys.exit(1 if built.failed else 0)
    with tempfile.TemporaryDirectory(prefix="delta-") as folder:
        stream = Stream(folder)
        try:
            # The first batches alone: a table whose log has no checkpoint.
            stream.send(range(3 * PER_BATCH))
            stream.start()
            while not os.path.exists(f"{stream.table}/_delta_log/{2:020}.json"):
                time.sleep(0.1)
                if stream.running.poll() is not None:
                    raise SystemExit(open(f"{folder}/stream.log").read())
            checks = Checks(stream)
            checks.at(2)
            checks.at(0)
            stream.send(range(3 * PER_BATCH, arguments.batches * PER_BATCH))
            newest, looks = 0, 0
            while newest < arguments.batches - 1:
                newest = checks.newest()
                checks.at(newest)
                checks.at(max(0, newest - 50))
                looks += 1
            print(f"{looks} looks while the stream ran, the last at version {newest}; {checks.done} comparisons")
            stream.running.send_signal(signal.SIGINT)
            stream.running.wait(60)
            kept = min(int(name[:20]) for name in os.listdir(f"{stream.table}/_delta_log") if name.endswith(".json"))
            for version in [kept, newest - newest % 100 - 1, newest - newest % 100, newest]:
                checks.at(version)
            checks.filtered(newest)
            checks.no_writer()
            # Of each 100 batches the files became one.
            files = len(deltalake.DeltaTable(stream.table).file_uris())
            if newest >= 100 and files > newest % 100 + newest // 100 + 1:
                print(f"DIFFERENT: {files} files at version {newest}: they were not compacted")
                checks.failed += 1
            doctor = subprocess.run(stream.command("doctor", "readings"), capture_output=True, text=True)
            if doctor.returncode:
                print(f"DIFFERENT: doctor: {doctor.stdout}{doctor.stderr}")
                checks.failed += 1
        finally:
            stream.stop()
    versions = f"deltalake {deltalake.__version__}, polars {polars.__version__}, duckdb {duckdb.__version__}"
    done, failed = checks.done + built.done, checks.failed + built.failed
    print(f"{done} comparisons, {failed} different ({versions}, pyarrow {pyarrow.__version__})")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
