"""A soak of faults: one stream job, killed at each round while hostile messages arrive and things around it break.

usage: TIDEMILL=target/release/tidemill python tests/soak/faults.py [--rounds 100] [--seed 1] [--brokers HOST:PORT]
       (Linux; confluent-kafka from PyPI)

Each round sends good rows and hostile ones (deep nesting, broken JSON, numbers past 64 bits, times of no calendar,
a CreateTime in nanoseconds, megabytes in a cell, terminal escapes, bytes at random, no value), starts the driver, does one of the faults below and then
kills the driver with -9 at a random moment:

    none        nothing more
    broker      the broker gets a kill -9 and comes back some seconds later (a broker of the soak's own alone)
    term        the driver is asked to stop (SIGTERM) just before the kill
    pause       the driver stands still (SIGSTOP) while a second one tries: that one has to be refused with exit code 4
    litter      files of drivers that died: `.tmp` and staged ones in the checkpoint and beside the table
    full        files may have 200 kB at most, as on a full disk
    files       no more than 40 open files
    memory      2 GiB of address space
    readers     `sql`, `metrics` and `doctor` run beside it

In the end the rest is streamed, and a client of another make reads the topic: each (partition, offset) is in the table or
in the dead letters, once, and only hostile messages are dead letters. Exit codes: 0 all of that holds, 1 not.
"""
import argparse, collections, json, os, pathlib, random, re, resource, signal, subprocess, sys, tempfile, threading, time

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient, NewTopic

TIDEMILL = os.environ.get("TIDEMILL", "target/release/tidemill")
TOPIC, PARTITIONS = "faults", 3
FAULTS = ["none", "broker", "term", "pause", "litter", "full", "files", "memory", "readers"]

JOB = """
[source]
kafka = { bootstrap_servers = "BROKERS", subscribe = "faults" }
format = "json"
schema = "sql/faults/schema.sql"
max_offsets_per_trigger = 700
[table]
path = "lake/faults/rows"
transform = "sql/faults/transform.sql"
[[models]]
name = "tree"
algorithm = "decision_tree"
features = "sql/faults/features.sql"
label = "high"
evaluate = { holdout = 0.3, prequential = true }
[[models]]
name = "groups"
algorithm = "kmeans"
features = "sql/faults/points.sql"
clusters = 3
evaluate = { holdout = 0.3, prequential = true }
"""
SQL = {
    "schema": "CREATE TABLE message (id BIGINT NOT NULL, t TEXT, x DOUBLE, at TIMESTAMP(ms), n INT)",
    "transform": "SELECT id, t, x, at, n FROM batch",
    "features": "SELECT x, id % 7 AS weekday, x > 0.5 AS high FROM rows WHERE x IS NOT NULL",
    "points": "SELECT x, CAST(id % 7 AS DOUBLE) AS weekday FROM rows WHERE x IS NOT NULL",
}


def hostile(random):
    """A message that is a dead letter or a strange row, and the time of its making or none."""
    deep = random.choice([200, 5_000, 110_000])
    return random.choice([
        lambda: (b'{"id":9,"t":' + b"[" * deep + b"]" * deep + b"}", None),
        lambda: (b'{"id":9,"t":' + b'{"a":' * deep + b"1" + b"}" * deep + b"}", None),
        lambda: (b'{"id":1 "t":"a comma is missing"}', None),
        lambda: (b'{"id":555-1234}', None),
        lambda: (b'{"id":9223372036854775808}', None),
        lambda: (b'{"id":1,"n":1e400,"x":1e400}', None),
        lambda: (b'{"id":1,"at":9223372036854775807}', None),
        lambda: (b'{"id":1,"t":"of a time in nanoseconds"}', 1_764_460_800_000_000_000),
        lambda: (b'{"id":1,"t":"' + b"x" * random.choice([100_000, 900_000]) + b'"}', None),
        lambda: (b'{"id":1,"t":"\\u001b]0;title\\u0007\\u001b[31mred"}', None),
        lambda: (bytes(random.randrange(256) for _ in range(random.randrange(200))), None),
        lambda: (b"", None),
        lambda: (None, None),
        lambda: (b"null", None),
        lambda: (b'[{"id":1}]', None),
        lambda: (b'{"id":1}{"id":2}', None),
        lambda: (b'\xef\xbb\xbf{"id":1}', None),
        lambda: (b'{"id":1,"id":2}', None),
    ])()


def good(number, random):
    row = {"id": number, "t": random.choice(["a", "b", None]), "x": random.random(), "at": 1_700_000_000_000 + number, "n": number % 5}
    return json.dumps(row).encode()


class Broker:
    """A broker of the soak's own, or one that is there."""

    def __init__(self, folder, address):
        self.folder, self.address, self.process = folder, address, None
        if address is None:
            self.start("127.0.0.1:0")

    def start(self, listen):
        self.process = subprocess.Popen([TIDEMILL, "broker", "--listen", listen, "--data-dir", self.folder],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if found := re.search(r"127\.0\.0\.1:\d+", line):
                self.address = found.group(0)
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()


class Soak:
    def __init__(self, scratch, args):
        self.random, self.lake, self.project = random.Random(args.seed), scratch / "lake", scratch / "project"
        self.log = scratch / "driver.log"
        self.broker = Broker(scratch / "broker", args.brokers)
        (self.project / "jobs").mkdir(parents=True)
        (self.project / "sql" / "faults").mkdir(parents=True)
        (self.project / "jobs" / "faults.toml").write_text(JOB.replace("BROKERS", self.broker.address))
        for name, text in SQL.items():
            (self.project / "sql" / "faults" / f"{name}.sql").write_text(text)
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        for made in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values():
            made.result(30)
        self.producer = kafka.Producer({"bootstrap.servers": self.broker.address, "enable.idempotence": True, "linger.ms": 5,
                                        "message.max.bytes": 2_000_000})
        self.number = 0

    def run(self, *more, **options):
        return subprocess.run([TIDEMILL, "--lake", self.lake, "--project", self.project, *more], capture_output=True, text=True,
                              timeout=300, **options)

    def driver(self, *more, limit=None, wait=120):
        def limits():
            for what, value in limit or []:
                resource.setrlimit(what, (value, value))
        command = [TIDEMILL, "--lake", self.lake, "--project", self.project, "stream", "faults",
                   "--set", "trigger.processing_time=50ms", "--set", f"source.kafka.broker_timeout={wait}s", *more]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(self.log, "a"), preexec_fn=limits)

    def send(self, rows, bad):
        for _ in range(rows):
            self.number += 1
            self.producer.produce(TOPIC, good(self.number, self.random), partition=self.number % PARTITIONS)
            self.producer.poll(0)
        for _ in range(bad):
            value, at = hostile(self.random)
            more = {} if at is None else {"timestamp": at}
            self.producer.produce(TOPIC, value, key=b"hostile", partition=self.random.randrange(PARTITIONS), **more)
            self.producer.poll(0)

    def litter(self):
        """What drivers that died leave, at places where they do."""
        for folder in [self.lake / "faults" / "_checkpoint" / name for name in ("offsets", "commits", "learn", "staged")]:
            if folder.is_dir():
                (folder / f".{self.random.randrange(10**6)}.json.tmp").write_text('{"half":')

    def round(self, fault):
        """One start and its end; what went wrong, or none."""
        limit = {"full": [(resource.RLIMIT_FSIZE, 200_000)], "files": [(resource.RLIMIT_NOFILE, 40)],
                 "memory": [(resource.RLIMIT_AS, 2 << 30)]}.get(fault)
        if fault == "litter":
            self.litter()
        driver = self.driver(limit=limit)
        time.sleep(self.random.uniform(0.1, 1.5))
        wrong = None
        if fault == "broker" and self.broker.process:
            self.broker.kill()
            time.sleep(self.random.uniform(0.2, 3))
            self.broker.start(self.broker.address)
            time.sleep(self.random.uniform(0.2, 2))
        elif fault == "term":
            driver.terminate()
            time.sleep(self.random.uniform(0, 0.3))
        elif fault == "pause" and driver.poll() is None:
            driver.send_signal(signal.SIGSTOP)
            held = pathlib.Path(f"/proc/{driver.pid}/fd").exists()
            second = self.driver("--available-now")
            code = second.wait(120)
            if held and code != 4 and (self.lake / "faults").is_dir():
                wrong = f"the second driver ended with {code}, not 4"
            driver.send_signal(signal.SIGCONT)
        elif fault == "readers":
            for words in (["sql", "SELECT count(*), count(DISTINCT id) FROM faults.rows"], ["metrics", "faults"], ["doctor"]):
                done = self.run(*words)
                if done.returncode != 0 and (self.lake / "faults" / "rows").is_dir():
                    wrong = f"{words[0]}: {done.stderr.strip()[:500]}"
        ended = driver.poll()
        driver.kill()
        driver.wait()
        if ended is not None and fault in ("none", "broker", "pause", "litter", "readers"):
            last = self.log.read_text().strip().splitlines()[-3:]
            wrong = f"the driver ended by itself with {ended}: " + " / ".join(last)
        return wrong

    def rest(self):
        driver = self.driver("--available-now")
        if driver.wait(600) != 0:
            return f"the last start ended with {driver.returncode}"

    def sent(self):
        """Each (partition, offset) of the topic, and whether it is hostile, as another client reads it."""
        consumer = kafka.Consumer({"bootstrap.servers": self.broker.address, "group.id": "check", "enable.auto.commit": False,
                                   "isolation.level": "read_committed", "enable.partition.eof": True})
        parts = [kafka.TopicPartition(TOPIC, part, 0) for part in range(PARTITIONS)]
        consumer.assign(parts)
        there, ended = {}, set()
        while len(ended) < PARTITIONS:
            message = consumer.poll(30)
            if message is None:
                raise RuntimeError("the topic does not end")
            if message.error():
                ended.add(message.partition())
                continue
            there[message.partition(), message.offset()] = message.key() == b"hostile"
        consumer.close()
        return there

    def places(self, statement):
        done = self.run("sql", "--format", "json", statement)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return collections.Counter((row["p"], row["o"]) for row in json.loads(done.stdout))

    def verdict(self):
        sent = self.sent()
        rows = self.places("SELECT _partition AS p, _offset AS o FROM faults.rows")
        dead = self.places("SELECT partition AS p, \"offset\" AS o FROM dead_letters")
        learned = [len(list((self.lake / "faults" / "_checkpoint" / name).glob("*.json"))) for name in ("commits", "learn")]
        doctor = self.run("doctor")
        print(f"{len(sent)} messages ({sum(sent.values())} hostile) = {len(rows)} rows + {len(dead)} dead letters; "
              f"{learned[0]} batches, {learned[1]} learned from; doctor: {(doctor.stdout or doctor.stderr).strip().splitlines()[-1]}")
        wrong = [
            ("offsets read twice", [place for place, n in (rows + dead).items() if n > 1]),
            ("offsets lost", set(sent) - set(rows) - set(dead)),
            ("offsets of nothing", (set(rows) | set(dead)) - set(sent)),
            ("good rows in the dead letters", [place for place in dead if not sent.get(place, True)]),
            ("batches not learned from", [] if learned[0] == learned[1] else learned),
            ("doctor", [] if doctor.returncode == 0 else [doctor.stdout + doctor.stderr]),
        ]
        for what, places in wrong:
            if places:
                print(f"{what}: {len(places)}, such as {sorted(places)[:3]}")
        return not any(places for _, places in wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=2_000, help="good rows a round")
    parser.add_argument("--brokers", help="a broker that is there, in place of one of the soak's own")
    parser.add_argument("--fault", choices=FAULTS, help="this fault alone")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        soak = Soak(pathlib.Path(scratch), args)
        failed = []
        try:
            for number in range(args.rounds):
                fault = args.fault or FAULTS[number % len(FAULTS)]
                soak.send(args.rows, 10)
                began = time.monotonic()
                wrong = soak.round(fault)
                commits = len(list((soak.lake / "faults" / "_checkpoint" / "commits").glob("*.json")))
                print(f"{number + 1:4}  {fault:8}  {time.monotonic() - began:5.1f} s  {commits:5} batches  {wrong or ''}", flush=True)
                if wrong:
                    failed.append((number + 1, fault, wrong))
            soak.producer.flush(60)
            if wrong := soak.rest():
                failed.append(("last", "none", wrong))
            # Counted also where a round went wrong; there is nothing to count where no driver has ever run.
            holds = (soak.lake / "faults").is_dir() and soak.verdict() and not failed
            if not holds:
                print("".join(open(soak.log).readlines()[-20:]))
        finally:
            soak.broker.kill()
    print("holds" if holds else "DOES NOT HOLD")
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
