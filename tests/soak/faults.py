"""A soak of faults: one stream job, killed at each round while hostile messages arrive and things around it break.

usage: TIDEMILL=target/release/tidemill python tests/soak/faults.py [--rounds 100] [--seed 1] [--state]
           [--brokers HOST:PORT [--broker-pid PID]]
       (Linux; confluent-kafka from PyPI)

Each round sends good rows and hostile ones (deep nesting, broken JSON, numbers past 64 bits, times of no calendar,
a CreateTime in nanoseconds, 6 MB in a cell, terminal escapes, bytes at random, no value; of a broker that has them,
transactions that are committed and aborted), starts the driver, does one of the faults below and then kills the driver
with -9 at a random moment:

    none        nothing more
    broker      the broker gets a kill -9 and comes back some seconds later
    away        the same, after 30 seconds: the driver has to be there still
    cut         as `broker`, and the ends of the topic's logs are gone, of which the driver may have read something
    stall       the broker stands still for 30 seconds (SIGSTOP)
    term        the driver is asked to stop (SIGTERM) just before the kill
    pause       the driver stands still (SIGSTOP) while a second one tries: that one has to be refused with exit code 4
    litter      files of drivers that died: `.tmp` and staged ones in the checkpoint and beside the table
    full        files may have 200 kB at most
    disk        the lake's disk has 100 kB left (a tmpfs; as root alone)
    files       no more than 40 open files
    memory      2 GiB of address space
    mute        what the driver says cannot be written (/dev/full)
    readers     `sql`, `metrics` and `doctor` run beside it

`broker`, `away` and `cut` are of a broker of the soak's own alone; one that is there is stalled if its process is named.
`--state` soaks a job that keeps a state of sums, some of which get past 38 digits, in place of one that trains models.

In the end the rest is streamed, and a client of another make reads the topic: each (partition, offset) is in the table or
in the dead letters, once, or told of in `system.data_loss` where a log was cut; only hostile messages are dead letters; a
state is what SQL makes of the rows. Exit codes: 0 all of that holds, 1 not.
"""
import argparse, collections, json, os, pathlib, random, re, resource, signal, subprocess, sys, tempfile, threading, time

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient, NewTopic

TIDEMILL = os.environ.get("TIDEMILL", "target/release/tidemill")
TOPIC, PARTITIONS = "faults", 3
FAULTS = ["none", "broker", "term", "pause", "litter", "cut", "full", "files", "away", "memory", "disk", "mute", "stall", "readers"]
# Seconds that a broker is away or stands still.
AWAY = 30
# Bytes of a lake's disk.
DISK = 1 << 30

JOB = """
[source]
kafka = { bootstrap_servers = "BROKERS", subscribe = "faults" }
format = "json"
schema = "sql/faults/schema.sql"
max_offsets_per_trigger = 700
fail_on_data_loss = "record"
[table]
path = "lake/faults/rows"
transform = "sql/faults/transform.sql"
"""
MODELS = """
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
STATE = """
[state]
table = "sums"
key = "w"
select = "sql/faults/sums.sql"
[state.columns]
last = { max = "at" }
ids = { count_distinct = ["id"] }
total = { sum = "amount", distinct = ["id"] }
"""
# The greatest DECIMAL(38,0).
MOST = "9" * 38
SQL = {
    "schema": "CREATE TABLE message (id BIGINT NOT NULL, t TEXT, x DOUBLE, at TIMESTAMP(ms), n INT, w TEXT, amount TEXT)",
    "transform": "SELECT id, t, x, at, n, w, CAST(amount AS DECIMAL(38,0)) AS amount FROM batch",
    "sums": "SELECT w, last, ids, total FROM sums",
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
        lambda: (b'{"id":1,"t":"' + random.choice([b"x" * 6_000_000, random.randbytes(3_000_000).hex().encode()]) + b'"}', None),
        lambda: (json.dumps({"id": random.randrange(1 << 60), "w": "rich", "amount": random.choice([MOST, "7", "-3"])}).encode(), None),
    ])()


def good(number, random):
    row = {"id": number, "t": random.choice(["a", "b", None]), "x": random.random(), "at": 1_700_000_000_000 + number, "n": number % 5,
           "w": f"w{number % 997}", "amount": str(random.randrange(-10**20, 10**20))}
    return json.dumps(row).encode()


class Broker:
    """A broker of the soak's own, or one that is there."""

    def __init__(self, folder, address, pid):
        self.folder, self.address, self.process, self.pid = folder, address, None, pid
        if address is None:
            self.start("127.0.0.1:0")

    def start(self, listen):
        self.process = subprocess.Popen([TIDEMILL, "broker", "--listen", listen, "--data-dir", self.folder],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.pid = self.process.pid
        for line in self.process.stdout:
            if found := re.search(r"127\.0\.0\.1:\d+", line):
                self.address = found.group(0)
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def stall(self, seconds):
        os.kill(self.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self.pid, signal.SIGCONT)

    def cut(self, random):
        """Takes the ends of its logs; it does not run."""
        for part in range(PARTITIONS):
            newest = max((self.folder / f"{TOPIC}-{part}").glob("*.log"))
            os.truncate(newest, max(0, newest.stat().st_size - random.randrange(60_000)))


class Soak:
    def __init__(self, scratch, args):
        self.random, self.project = random.Random(args.seed), scratch / "project"
        self.log, self.disk, self.has_state = scratch / "driver.log", scratch / "disk", args.state
        self.disk.mkdir()
        self.lake = self.disk / "lake"
        self.number, self.cuts, self.transactions = 0, set(), None
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", self.disk]
        self.is_disk = subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0
        self.broker = Broker(scratch / "broker", args.brokers, args.broker_pid)

    def set_up(self, args):
        (self.project / "jobs").mkdir(parents=True)
        (self.project / "sql" / "faults").mkdir(parents=True)
        job = "stateful = true\n" + JOB + STATE if args.state else JOB + MODELS
        (self.project / "jobs" / "faults.toml").write_text(job.replace("BROKERS", self.broker.address))
        for name, text in SQL.items():
            (self.project / "sql" / "faults" / f"{name}.sql").write_text(text)
        self.client = {"bootstrap.servers": self.broker.address, "message.max.bytes": 8_000_000}
        config = {"max.message.bytes": "8000000"} if args.brokers else {}
        admin = AdminClient(self.client)
        for made in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config=config)]).values():
            made.result(30)
        self.produce_anew()
        if args.brokers:
            self.transactions = kafka.Producer({**self.client, "transactional.id": "faults"})
            self.transactions.init_transactions(30)

    def end(self):
        self.broker.kill()
        if self.is_disk:
            subprocess.run(["umount", self.disk])

    def produce_anew(self):
        """A producer that knows nothing of the log: its end may be gone."""
        self.producer = kafka.Producer({**self.client, "enable.idempotence": True, "linger.ms": 5})

    def possible(self):
        """The faults that there can be here."""
        never = [] if self.broker.process else ["broker", "away", "cut"]
        never += [] if self.broker.pid else ["stall"]
        never += [] if self.is_disk else ["disk"]
        return [fault for fault in FAULTS if fault not in never]

    def run(self, *more, **options):
        return subprocess.run([TIDEMILL, "--lake", self.lake, "--project", self.project, *more], capture_output=True, text=True,
                              timeout=300, **options)

    def driver(self, *more, limit=None, says=None):
        def limits():
            for what, value in limit or []:
                resource.setrlimit(what, (value, value))
        command = [TIDEMILL, "--lake", self.lake, "--project", self.project, "stream", "faults",
                   "--set", "trigger.processing_time=50ms", "--set", "source.kafka.broker_timeout=120s", *more]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(says or self.log, "a"), preexec_fn=limits)

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
        if self.transactions:
            for _ in range(4):
                self.transactions.begin_transaction()
                for _ in range(self.random.randrange(3)):
                    self.number += 1
                    self.transactions.produce(TOPIC, good(self.number, self.random), partition=self.number % PARTITIONS)
                end = self.random.choice([self.transactions.commit_transaction, self.transactions.abort_transaction])
                end(30)

    def ends(self):
        consumer = kafka.Consumer({**self.client, "group.id": "ends"})
        ends = [consumer.get_watermark_offsets(kafka.TopicPartition(TOPIC, part), 30)[1] for part in range(PARTITIONS)]
        consumer.close()
        return ends

    def cut(self):
        """The broker dies, and comes back without the ends of its logs."""
        self.producer.flush(60)
        before = self.ends()
        self.broker.kill()
        self.broker.cut(self.random)
        self.broker.start(self.broker.address)
        for part, (now, then) in enumerate(zip(self.ends(), before)):
            self.cuts.update((part, offset) for offset in range(now, then))
        self.produce_anew()

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
        filler = self.disk / "filler"
        if fault == "disk":
            left = os.statvfs(self.disk)
            with open(filler, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize - 100_000)
        if fault == "cut" and (wrong := self.rest()):
            # Otherwise nothing that was read would be cut off.
            return wrong
        has_plan = (self.lake / "faults" / "_checkpoint" / "offsets" / "0.json").exists()
        driver = self.driver(limit=limit, says="/dev/full" if fault == "mute" else None)
        time.sleep(self.random.uniform(0.1, 1.5))
        wrong = None
        if fault in ("broker", "away"):
            self.broker.kill()
            time.sleep(AWAY if fault == "away" else self.random.uniform(0.2, 3))
            self.broker.start(self.broker.address)
            time.sleep(self.random.uniform(0.2, 2))
        elif fault == "cut":
            self.cut()
            time.sleep(self.random.uniform(0.2, 2))
        elif fault == "stall":
            self.broker.stall(AWAY)
            time.sleep(self.random.uniform(0.2, 2))
        elif fault == "term":
            driver.terminate()
            time.sleep(self.random.uniform(0, 0.3))
        elif fault == "pause" and driver.poll() is None:
            driver.send_signal(signal.SIGSTOP)
            # One that is slow to start is not there yet, and the second is the first.
            held = re.search(rf"FLOCK .*WRITE {driver.pid} ", pathlib.Path("/proc/locks").read_text())
            second = self.driver("--available-now")
            code = second.wait(120)
            if held and code != 4:
                wrong = f"the second driver ended with {code}, not 4"
            driver.send_signal(signal.SIGCONT)
        elif fault == "readers":
            # What the job makes besides its rows.
            has_batch = (self.lake / "faults" / "_checkpoint" / "commits" / "0.json").exists()
            other = ["sql", "SELECT sum(ids) FROM faults.sums"] if self.has_state else ["metrics", "faults"]
            for words in (["sql", "SELECT count(*), count(DISTINCT id) FROM faults.rows"], other, ["doctor"]):
                done = self.run(*words)
                if done.returncode != 0 and has_batch:
                    wrong = f"{words[0]}: {done.stderr.strip()[:500]}"
        ended = driver.poll()
        driver.kill()
        driver.wait()
        filler.unlink(missing_ok=True)
        # A broker that is away before there is a plan is taken for a wrong address.
        may_end = ["term", "full", "disk", "files", "memory"] + ([] if has_plan else ["broker", "away", "cut", "stall"])
        if ended is not None and fault not in may_end:
            last = self.log.read_text().strip().splitlines()[-3:]
            wrong = f"the driver ended by itself with {ended}: " + " / ".join(last)
        return wrong

    def rest(self):
        driver = self.driver("--available-now")
        if driver.wait(600) != 0:
            return f"the last start ended with {driver.returncode}"

    def sent(self):
        """Each (partition, offset) of the topic, and whether it is hostile, as another client reads it."""
        consumer = kafka.Consumer({**self.client, "group.id": "check", "auto.offset.reset": "earliest", "enable.auto.commit": False,
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

    def other_sums(self):
        """Rows of the state that are not what SQL makes of the table's, or the other way round."""
        of_rows = "SELECT w, max(at) AS last, count(*) AS ids, sum(amount) AS total FROM faults.rows WHERE w IS NOT NULL GROUP BY w"
        both = ("SELECT w, last, ids, total FROM faults.sums", of_rows)
        asked = [self.run("sql", "--format", "json", f"SELECT w, last, ids, CAST(total AS TEXT) AS total FROM ({one}) ORDER BY w")
                 for one in both]
        kept, made = [{row["w"]: row for row in json.loads(done.stdout)} if done.returncode == 0 else done.stderr for done in asked]
        if isinstance(kept, str) or isinstance(made, str):
            return [str(kept)[:500], str(made)[:500]]
        return [str((kept.get(w), made.get(w))) for w in sorted(set(kept) | set(made)) if kept.get(w) != made.get(w)]

    def verdict(self):
        sent = self.sent()
        rows = self.places("SELECT _partition AS p, _offset AS o FROM faults.rows")
        dead = self.places("SELECT partition AS p, \"offset\" AS o FROM dead_letters")
        gone = self.run("sql", "--format", "json", "SELECT partition AS p, from_offset AS f, to_offset AS t FROM data_loss")
        gone = {(row["p"], offset) for row in json.loads(gone.stdout) for offset in range(row["f"], row["t"])}
        learned = [len(list((self.lake / "faults" / "_checkpoint" / name).glob("*.json"))) for name in ("commits", "learn")]
        doctor = self.run("doctor")
        print(f"{len(sent)} messages ({sum(sent.values())} hostile) = {len(rows)} rows + {len(dead)} dead letters + {len(set(sent) - set(rows) - set(dead))} "
              f"of {len(gone)} told of as lost, {len(self.cuts)} of which were cut off; "
              f"{learned[0]} batches, {learned[1]} learned from; doctor: {(doctor.stdout or doctor.stderr).strip().splitlines()[-1]}")
        wrong = [
            ("offsets read twice", [place for place, n in (rows + dead).items() if n > 1]),
            ("offsets lost", set(sent) - set(rows) - set(dead) - gone),
            ("offsets told of as lost that nobody cut off", gone - self.cuts),
            ("offsets of nothing", (set(rows) | set(dead)) - set(sent)),
            # What was read before a cut may be another message now.
            ("good rows in the dead letters", [place for place in dead if not sent.get(place, True) and place not in self.cuts]),
            ("keys of the state that are not the sum of their rows", self.other_sums() if self.has_state else []),
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
    parser.add_argument("--broker-pid", type=int, help="the process of that broker")
    parser.add_argument("--state", action="store_true", help="a job that keeps a state")
    parser.add_argument("--fault", choices=FAULTS, help="this fault alone")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        soak = Soak(pathlib.Path(scratch), args)
        failed = []
        try:
            soak.set_up(args)
            possible = soak.possible()
            print("faults:", ", ".join(possible))
            for number in range(args.rounds):
                fault = args.fault or possible[number % len(possible)]
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
            soak.end()
    print("holds" if holds else "DOES NOT HOLD")
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
