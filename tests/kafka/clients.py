#!/usr/bin/env python3
"""Clients that share no code with the engine, against the same topics: kafka-python (pure Python) and
confluent-kafka (librdkafka). What they write the driver reads; what `tidemill produce` writes they read.

    tests/kafka/clients.py --tidemill target/debug/tidemill                           the embedded broker
    tests/kafka/clients.py --tidemill target/debug/tidemill --bootstrap HOST:PORT     Apache Kafka

Wants the packages of requirements.txt. Ends with 1 at the first difference and says which.
"""

import argparse
import contextlib
import csv
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import uuid

import confluent_kafka
import confluent_kafka.admin
import kafka
import kafka.admin

JOB = "chicago-arrests"
PARTITIONS = 3
ROWS = 1500
PATIENCE_S = 60


class KafkaPython:
    """kafka-python."""

    name = "kafka-python"

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def create_topic(self, topic):
        admin = kafka.admin.KafkaAdminClient(bootstrap_servers=self.bootstrap)
        admin.create_topics([kafka.admin.NewTopic(topic, PARTITIONS, 1)])
        admin.close()

    def write(self, topic, values, compression):
        """Sends the values round robin; gives the place that the broker acknowledged for each."""
        producer = kafka.KafkaProducer(bootstrap_servers=self.bootstrap, compression_type=compression, linger_ms=5)
        futures = [
            producer.send(topic, value, key=b"k%d" % i, headers=[("n", b"%d" % i)], partition=i % PARTITIONS)
            for i, value in enumerate(values)
        ]
        producer.flush(PATIENCE_S)
        acknowledged = [future.get(PATIENCE_S) for future in futures]
        producer.close()
        return {(m.partition, m.offset): value for m, value in zip(acknowledged, values)}

    def read(self, topic, group, count):
        """Reads all partitions from their beginning until it has `count` messages, commits where it is, and gives
        the messages and what another consumer of the group finds committed."""
        partitions = [kafka.TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer = self.consumer(group)
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        messages, deadline = [], time.monotonic() + PATIENCE_S
        while len(messages) < count and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=200).values():
                messages += [((m.partition, m.offset), m.value, m.timestamp) for m in records]
        consumer.commit()
        consumer.close()
        return messages, self.committed(topic, group)

    def committed(self, topic, group):
        """Where the group is, by partition."""
        other = self.consumer(group)
        committed = {p: other.committed(kafka.TopicPartition(topic, p)) for p in range(PARTITIONS)}
        other.close()
        return committed

    def consumer(self, group):
        return kafka.KafkaConsumer(bootstrap_servers=self.bootstrap, group_id=group, enable_auto_commit=False)


class ConfluentKafka:
    """confluent-kafka."""

    name = "confluent-kafka"

    def __init__(self, bootstrap):
        self.config = {"bootstrap.servers": bootstrap, "log_level": 0}

    def create_topic(self, topic):
        admin = confluent_kafka.admin.AdminClient(self.config)
        for future in admin.create_topics([confluent_kafka.admin.NewTopic(topic, PARTITIONS, 1)]).values():
            future.result(PATIENCE_S)

    def write(self, topic, values, compression):
        acknowledged = {}

        def delivered(value):
            def callback(error, message):
                check(error is None, f"{self.name} could not deliver: {error}")
                acknowledged[message.partition(), message.offset()] = value

            return callback

        producer = confluent_kafka.Producer(
            self.config | {"enable.idempotence": True, "compression.type": compression or "none", "linger.ms": 5}
        )
        for i, value in enumerate(values):
            producer.produce(
                topic, value, key=b"k%d" % i, headers={"n": b"%d" % i}, partition=i % PARTITIONS, on_delivery=delivered(value)
            )
        check(producer.flush(PATIENCE_S) == 0, f"{self.name} still has messages after {PATIENCE_S} s")
        return acknowledged

    def read(self, topic, group, count):
        consumer = self.consumer(group)
        beginning = confluent_kafka.OFFSET_BEGINNING
        consumer.assign([confluent_kafka.TopicPartition(topic, p, beginning) for p in range(PARTITIONS)])
        messages, deadline = [], time.monotonic() + PATIENCE_S
        while len(messages) < count and time.monotonic() < deadline:
            for m in consumer.consume(1000, timeout=0.2):
                check(m.error() is None, f"{self.name} could not read: {m.error()}")
                messages.append(((m.partition(), m.offset()), m.value(), m.timestamp()[1]))
        consumer.commit(asynchronous=False)
        consumer.close()
        return messages, self.committed(topic, group)

    def committed(self, topic, group):
        partitions = [confluent_kafka.TopicPartition(topic, p) for p in range(PARTITIONS)]
        other = self.consumer(group)
        committed = {p.partition: p.offset for p in other.committed(partitions, timeout=PATIENCE_S)}
        other.close()
        return committed

    def consumer(self, group):
        return confluent_kafka.Consumer(self.config | {"group.id": group, "enable.auto.commit": False})


class Failure(Exception):
    """What was found to be wrong."""


def check(holds, what):
    if not holds:
        raise Failure(what)


class Tidemill:
    """The binary, with a lake of its own."""

    def __init__(self, binary, lake, bootstrap):
        self.binary, self.lake, self.bootstrap = binary, lake, bootstrap

    def run(self, *arguments):
        command = [self.binary, "--lake", self.lake, "--project", self.lake / "no-project", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        check(done.returncode == 0, f"tidemill {arguments[0]} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def produce(self, topic, file):
        flags = ["--brokers", self.bootstrap, "--topic", topic, "--partitions", str(PARTITIONS)]
        self.run("produce", JOB, "--input", file, *flags)

    def stream(self, topic):
        flags = ["--set", f"source.kafka.subscribe={topic}", "--set", "source.max_offsets_per_trigger=700"]
        self.run("stream", JOB, "--available-now", "--brokers", self.bootstrap, *flags)

    def rows(self):
        columns = "_partition, _offset, arrest, domestic, beat, block, x_coordinate, hour"
        return json.loads(self.run("sql", f"SELECT {columns} FROM crimes", "--format", "json"))


def crime(i):
    """A message; some have a field that the job does not know, one in seven has no hour."""
    message = {
        "arrest": i % 4 == 0,
        "domestic": i % 2,
        "beat": 100 + i % 200,
        "block": f"{i:03}XX N ÉTÉ ST",
        "x_coordinate": 1_100_000 + i * 0.5,
        "iucr": f"{i % 5:04}",
        "noise": {"i": [i, None]},
    }
    if i % 7:
        message["hour"] = i % 24
    return message


def expected_row(place, message):
    row = {"_partition": place[0], "_offset": place[1], **message, "arrest": bool(message["arrest"])}
    row["domestic"] = bool(row["domestic"])
    row.setdefault("hour", None)
    return {k: v for k, v in row.items() if k not in ("iucr", "noise")}


def the_driver_reads_what_it_writes(client, tidemill, compression):
    topic = f"written-{uuid.uuid4().hex}"
    client.create_topic(topic)
    values = [json.dumps(crime(i)).encode() for i in range(ROWS)]
    written = client.write(topic, values, compression)
    check(len(written) == ROWS, f"{client.name}: {len(written)} places acknowledged for {ROWS} messages")
    tidemill.stream(topic)
    expected = {place: expected_row(place, json.loads(value)) for place, value in written.items()}
    rows = tidemill.rows()
    check(len(rows) == ROWS, f"{client.name}: {ROWS} messages written, {len(rows)} rows in the table")
    for row in rows:
        place = row["_partition"], row["_offset"]
        # JSON output leaves out what is null.
        row.setdefault("hour", None)
        check(row == expected.pop(place, None), f"{client.name}: {place} is {row} in the table")
    check(not expected, f"{client.name}: not in the table: {sorted(expected)[:5]}")
    ends = {p: sum(1 for place in written if place[0] == p) for p in range(PARTITIONS)}
    committed = client.committed(topic, f"tidemill-{JOB}")
    check(committed == ends, f"{client.name}: the job's group is at {committed}, the topic ends at {ends}")


def message_of(cells):
    """What `tidemill produce` is to make of a row of the portal's CSV."""
    at = datetime.datetime.strptime(cells["Date"], "%m/%d/%Y %I:%M:%S %p")
    message = {
        "arrest": cells["Arrest"] == "true",
        "domestic": cells["Domestic"] == "true",
        "month": at.month,
        "day": at.day,
        "hour": at.hour,
        "minute": at.minute,
    }
    whole = {"beat": "Beat", "district": "District", "community_area": "Community Area"}
    floats = {"x_coordinate": "X Coordinate", "y_coordinate": "Y Coordinate"}
    texts = {"iucr": "IUCR", "location_description": "Location Description", "fbi_code": "FBI Code", "block": "Block"}
    for columns, convert in ((whole, int), (floats, float), (texts, str)):
        message |= {name: convert(cells[column]) for name, column in columns.items() if cells[column]}
    return message


def canonical(message):
    return json.dumps(message, sort_keys=True)


def it_reads_what_produce_writes(client, topic, expected):
    messages, committed = client.read(topic, f"group-{uuid.uuid4().hex}", len(expected))
    places = sorted(place for place, _, _ in messages)
    ends = {p: sum(1 for place in places if place[0] == p) for p in range(PARTITIONS)}
    every = [(p, offset) for p in range(PARTITIONS) for offset in range(ends[p])]
    check(places == every, f"{client.name}: offsets are missing or doubled in {topic}: {ends}")
    read = sorted(canonical(json.loads(value)) for _, value, _ in messages)
    check(len(read) == len(expected), f"{client.name}: {len(expected)} rows produced, {len(read)} read")
    for one, other in zip(read, expected):
        check(one == other, f"{client.name}: read {one}, the file has {other}")
    now = time.time() * 1000
    check(all(abs(now - t) < 3_600_000 for _, _, t in messages), f"{client.name}: timestamps are not of this hour")
    check(committed == ends, f"{client.name}: committed {committed} after reading {ends}")
    return sorted(messages)


@contextlib.contextmanager
def broker(arguments, folder):
    """Apache Kafka where an address is given, else an embedded broker for as long as it is wanted."""
    if arguments.bootstrap:
        yield arguments.bootstrap
        return
    command = [arguments.tidemill, "broker", "--listen", "127.0.0.1:0", "--data-dir", folder / "broker"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline()
        check(line.startswith("listening on "), f"the embedded broker said {line!r}")
        yield line.removeprefix("listening on ").strip()
    finally:
        process.terminate()
        process.wait(30)


def run(arguments, folder):
    with broker(arguments, folder) as bootstrap:
        name = "Apache Kafka" if arguments.bootstrap else "embedded broker"
        clients = [KafkaPython(bootstrap), ConfluentKafka(bootstrap)]
        for client in clients:
            for compression in (None, "gzip"):
                tidemill = Tidemill(arguments.tidemill, folder / f"{client.name}-{compression}", bootstrap)
                the_driver_reads_what_it_writes(client, tidemill, compression)
                print(f"ok: {name}: {ROWS} messages by {client.name} (compression {compression}) are rows, once each")

        file = folder / "crimes.csv"
        tidemill = Tidemill(arguments.tidemill, folder / "produced", bootstrap)
        tidemill.run("data", "generate", "chicago-crimes", "--rows", str(ROWS), "--seed", "7", "--out", file)
        with open(file, newline="", encoding="utf-8") as lines:
            expected = sorted(canonical(message_of(cells)) for cells in csv.DictReader(lines))
        topic = f"produced-{uuid.uuid4().hex}"
        tidemill.produce(topic, file)
        read = []
        for client in clients:
            read.append(it_reads_what_produce_writes(client, topic, expected))
            print(f"ok: {name}: {ROWS} rows by `tidemill produce` read by {client.name}, once each, JSON equal")
        check(read[0] == read[1], "the two clients read different bytes or times")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidemill", required=True, type=pathlib.Path, help="the binary")
    parser.add_argument("--bootstrap", help="HOST:PORT of Apache Kafka; without it the embedded broker is started")
    arguments = parser.parse_args()
    arguments.tidemill = arguments.tidemill.resolve()
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(arguments, pathlib.Path(folder))
        except Failure as failure:
            print(f"failed: {failure}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
