"""How long a start takes that has a large state to load: seconds to its first commit, processor time and memory.

usage: TIDEMILL=target/release/tidemill python tests/soak/state.py [--keys 1000000] [--rounds 3] [--lake DIR]
       (Linux; confluent-kafka from PyPI)

Makes a state of so many keys of 32 characters, each of which has seen one order of 32 characters, as `jobs/olist-rfm.toml`
keeps it (a time, two counts of distinct, a sum of distinct), in 50 batches, so that the last one wrote a snapshot. Then each
round sends 100 messages and starts the driver: printed are the seconds until their batch is committed, what the process took
of a processor until its end, and the most memory that it had. `--lake DIR` keeps the lake, or goes on with one that is there.
"""
import argparse, hashlib, json, os, pathlib, re, subprocess, tempfile, threading, time

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient, NewTopic

TIDEMILL = os.environ.get("TIDEMILL", "target/release/tidemill")
JOB = """
stateful = true
[source]
kafka = { bootstrap_servers = "127.0.0.1:1", subscribe = "keys" }
format = "json"
schema = "sql/keys/schema.sql"
[table]
path = "lake/keys/rows"
transform = "sql/keys/transform.sql"
[state]
table = "sums"
key = "k"
select = "sql/keys/sums.sql"
[state.columns]
last = { max = "at" }
orders = { count_distinct = ["o"] }
payments = { count_distinct = ["o", "n"] }
money = { sum = "a", distinct = ["o", "n"] }
"""
SQL = {
    "schema": "CREATE TABLE message (k TEXT NOT NULL, o TEXT, n INT, a TEXT, at TIMESTAMP(ms))",
    "transform": "SELECT k, o, n, CAST(a AS DECIMAL(12,2)) AS a, at FROM batch",
    "sums": "SELECT k, last, orders, payments, money FROM sums",
}


def text(*what):
    return hashlib.md5(repr(what).encode()).hexdigest()


def send(address, keys, first, last):
    producer = kafka.Producer({"bootstrap.servers": address, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    for n in range(first, last):
        row = {"k": text("k", n % keys), "o": text("o", n), "n": 1, "a": f"{n % 10_000 / 100:.2f}", "at": 1_700_000_000_000 + n}
        producer.produce("keys", json.dumps(row).encode())
        if n % 5_000 == 0:
            producer.poll(0)
    producer.flush()


def start(address, lake, project, per_batch):
    """Seconds to the first commit, of a processor, and MiB."""
    commits = lake / "keys" / "_checkpoint" / "commits"
    before = len(list(commits.glob("*.json"))) if commits.is_dir() else 0
    began, first = time.monotonic(), None
    driver = subprocess.Popen([TIDEMILL, "--lake", lake, "--project", project, "stream", "keys", "--available-now", "--brokers", address,
                               "--set", f"source.max_offsets_per_trigger={per_batch}"], stdout=subprocess.DEVNULL)
    while first is None and not pathlib.Path(f"/proc/{driver.pid}/stat").read_text().split(") ")[1].startswith("Z"):
        if commits.is_dir() and len(list(commits.glob("*.json"))) > before:
            first = time.monotonic() - began
        time.sleep(0.005)
    _, status, usage = os.wait4(driver.pid, 0)
    if status != 0:
        raise SystemExit(f"the driver ended with {status}")
    return first, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lake")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        lake = pathlib.Path(args.lake or scratch / "lake").absolute()
        lake.mkdir(parents=True, exist_ok=True)
        for name, content in {"jobs/keys.toml": JOB, **{f"sql/keys/{name}.sql": sql for name, sql in SQL.items()}}.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_text(content)
        broker = subprocess.Popen([TIDEMILL, "broker", "--listen", "127.0.0.1:0", "--data-dir", lake / "broker"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            address = next(found.group(0) for line in broker.stdout if (found := re.search(r"127\.0\.0\.1:\d+", line)))
            threading.Thread(target=broker.stdout.read, daemon=True).start()
            sent = args.keys
            if not (lake / "keys").is_dir():
                admin = AdminClient({"bootstrap.servers": address})
                admin.create_topics([NewTopic("keys", 1, 1)])["keys"].result(30)
                send(address, args.keys, 0, args.keys)
                start(address, lake, scratch, args.keys // 50)
            for _ in range(args.rounds):
                send(address, args.keys, sent, sent + 100)
                sent += 100
                first, processor, most = start(address, lake, scratch, args.keys // 50)
                print(f"first commit after {first:.2f} s, {processor:.2f} s of a processor, {most:.0f} MiB", flush=True)
        finally:
            broker.kill()


if __name__ == "__main__":
    main()
