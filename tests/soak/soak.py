"""A soak: the stream of chicago-arrests for some minutes, killed again and again, with statements beside it.

usage: TIDEMILL=target/release/tidemill python tests/soak/soak.py [--minutes 1] [--kill-every 15] [--rate 5000]
       (Linux; nothing but Python's own modules)

Rows come by `tidemill produce` at `--rate` a second through a broker of the soak's own; `--kill-every` seconds the driver
gets a `kill -9` and is started again at once. Printed for each start: rows committed before it, seconds to the first new
commit, batches whose learning lagged behind at its end, and from the driver's /proc the greatest memory, its slope in MiB a
minute (least squares over the start's second half) and the open descriptors. Beside it runs `sql` in a loop, with the
times that it took. In the end the rest is streamed, and the rows are counted: what was sent is in the table or the dead
letters, each offset once, and every batch is learned from. Exit codes: 0 all of that holds, 1 not.

`--lake DIR` goes on with a lake and its broker's folder (DIR/broker) of an earlier soak: so a table gets large.
`--models NAME,…` keeps those models of the job alone, `--models ""` none.
"""
import argparse, json, os, pathlib, random, re, signal, subprocess, sys, tempfile, threading, time

JOB, SCHEMA = "chicago-arrests", "chicago_arrests"
TIDEMILL = os.environ.get("TIDEMILL", "target/release/tidemill")


def numbers(folder):
    """The records of one kind."""
    try:
        return {int(name[:-5]) for name in os.listdir(folder) if re.fullmatch(r"\d+\.json", name)}
    except FileNotFoundError:
        return set()


def memory_and_descriptors(pid):
    """MiB in memory and open descriptors of a process; None once it is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024, len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError, AttributeError):
        return None


def slope(points):
    """Of a line through points (seconds, MiB), in MiB a minute."""
    if len(points) < 3:
        return float("nan")
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mx) ** 2 for x, _ in points)
    return 60 * sum((x - mx) * (y - my) for x, y in points) / spread if spread else float("nan")


def ask(lake, statement):
    """The rows of a statement, as JSON objects."""
    command = [TIDEMILL, "--lake", lake, "sql", "--format", "json", statement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"{statement}: {done.stderr.strip()}")
    return json.loads(done.stdout)


class Statements(threading.Thread):
    """`sql` again and again, until it is told to stop."""

    def __init__(self, lake):
        super().__init__(daemon=True)
        self.lake, self.times, self.errors, self.stop = lake, [], [], threading.Event()

    def run(self):
        least = 0
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                rows = ask(self.lake, "SELECT count(*) AS n, count(DISTINCT _offset) AS d FROM crimes")[0]["n"]
                self.times.append((time.monotonic() - began, rows))
                if rows < least:
                    self.errors.append(f"{rows} rows after {least}")
                least = rows
            except Exception as error:  # the table may not be there yet
                if least:
                    self.errors.append(str(error))
            self.stop.wait(1)


def project(folder, keep):
    """A project with the job as it is, or with some of its models."""
    if keep is None:
        return "/nonexistent"
    text = (pathlib.Path(__file__).parents[2] / "jobs" / f"{JOB}.toml").read_text()
    head, *models = re.split(r"(?m)^(?=\[\[models\]\])", text)
    kept = [model for model in models if re.search(r'name = "(\w+)"', model).group(1) in keep.split(",")]
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    (folder / "jobs" / f"{JOB}.toml").write_text(head + "".join(kept))
    return str(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--kill-every", type=float, default=15)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--limit", type=int, default=5_000)
    parser.add_argument("--models")
    parser.add_argument("--lake")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random.seed(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        sys.exit(soak(args, scratch, pathlib.Path(args.lake or scratch / "lake")))


def soak(args, scratch, lake):
    lake.mkdir(parents=True, exist_ok=True)
    where = project(scratch / "project", args.models)
    csv = scratch / "crimes.csv"
    rows = int(args.rate * min(args.minutes * 60, 15)) or 1
    subprocess.run([TIDEMILL, "data", "generate", "chicago-crimes", "--rows", str(rows), "--seed", str(args.seed), "--out", csv],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    broker = subprocess.Popen([TIDEMILL, "broker", "--listen", "127.0.0.1:0", "--data-dir", lake / "broker"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address = None
    for line in broker.stdout:
        if found := re.search(r"127\.0\.0\.1:\d+", line):
            address = found.group(0)
            break
    threading.Thread(target=broker.stdout.read, daemon=True).start()

    def command(*more):
        return [TIDEMILL, "--lake", lake, "--project", where, "stream", JOB, "--brokers", address,
                "--set", f"source.max_offsets_per_trigger={args.limit}", *more]

    end = time.monotonic() + args.minutes * 60

    # What was acknowledged so far, also of earlier soaks of this lake.
    sent = lake / "sent"

    def produce():
        while time.monotonic() < end:
            more = ["--input", csv, "--rate", f"{args.rate}/s", "--partitions", "3"]
            subprocess.run([TIDEMILL, "produce", JOB, "--brokers", address, *more], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            sent.write_text(str((int(sent.read_text()) if sent.exists() else 0) + rows))

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    while not (lake / "broker" / "crimes-0").is_dir() and producer.is_alive():
        time.sleep(0.05)
    statements = Statements(lake)
    statements.start()
    checkpoint = lake / SCHEMA / "_checkpoint"
    firsts = []
    print("start  batches before  first commit s  commits  not learned  MiB  MiB/min  descriptors")
    try:
        while time.monotonic() < end:
            before = numbers(checkpoint / "commits")
            began, first, points, most = time.monotonic(), None, [], (0, 0)
            with open(scratch / "driver.log", "w") as log:
                driver = subprocess.Popen(command("--set", "trigger.processing_time=100ms"), stdout=subprocess.DEVNULL, stderr=log)
            kill_at = began + args.kill_every * random.uniform(0.8, 1.2)
            looked = 0
            while time.monotonic() < min(kill_at, end) and driver.poll() is None:
                if first is None and numbers(checkpoint / "commits") - before:
                    first = time.monotonic() - began
                if time.monotonic() - looked > 0.5 and (seen := memory_and_descriptors(driver.pid)):
                    looked = time.monotonic()
                    points.append((looked - began, seen[0]))
                    most = (max(most[0], seen[0]), max(most[1], seen[1]))
                time.sleep(0.01)
            if driver.poll() is not None:
                print((scratch / "driver.log").read_text())
                return 1
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            commits, learned = numbers(checkpoint / "commits"), numbers(checkpoint / "learn")
            firsts.append(first)
            late = [point for point in points if point[0] > points[-1][0] / 2]
            told = "none" if first is None else f"{first:.2f}"
            print(f"{len(firsts):5}  {len(before):14}  {told:>14}  {len(commits) - len(before):7}  "
                  f"{len(commits) - len(learned):11}  {most[0]:3.0f}  {slope(late):7.2f}  {most[1]:11}", flush=True)
        producer.join()
        statements.stop.set()
        statements.join()
        began = time.monotonic()
        rest = subprocess.run(command("--available-now"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if rest.returncode != 0:
            print(rest.stderr)
            return 1
        print(f"the rest was streamed and learned from in {time.monotonic() - began:.1f} s")
        return verdict(lake, checkpoint, int(sent.read_text()), firsts, statements)
    finally:
        broker.kill()


def verdict(lake, checkpoint, sent, firsts, statements):
    """Whether everything that was sent came out once."""
    table = ask(lake, "SELECT count(*) AS n, count(DISTINCT concat(_partition, '/', _offset)) AS d FROM crimes")[0]
    dead = ask(lake, "SELECT count(*) AS n FROM dead_letters")[0]["n"]
    commits, learned = numbers(checkpoint / "commits"), numbers(checkpoint / "learn")
    there = [first for first in firsts if first is not None]
    times = sorted(statements.times) or [(float("nan"), 0)]
    print(f"{sent} sent = {table['n']} rows ({table['d']} places) + {dead} dead letters; {len(commits)} batches, {len(learned)} learned from")
    print(f"first commit after a start: {min(there, default=0):.2f} to {max(there, default=0):.2f} s over {len(firsts)} starts")
    print(f"sql beside it: {len(times)} statements, median {times[len(times) // 2][0]:.2f} s; the slowest: "
          + ", ".join(f"{seconds:.2f} s over {rows:,} rows" for seconds, rows in times[-5:]))
    for error in statements.errors:
        print("sql beside it:", error)
    holds = sent == table["n"] + dead and table["n"] == table["d"] and commits == learned and not statements.errors
    print("holds" if holds else "DOES NOT HOLD")
    return 0 if holds else 1


if __name__ == "__main__":
    main()
