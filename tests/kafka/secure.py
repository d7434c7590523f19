#!/usr/bin/env python3
"""TLS and SASL of `tidemill stream` and `tidemill produce`, with a Kafka and certificates that secure.sh has made.

What kafka-python (which has no librdkafka in it) writes over TLS the stream reads, what `tidemill produce` writes it reads,
and it reads the offsets that the job's group was told. Ends with 1 at the first difference and says which.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import kafka
import kafka.admin
import kafka.errors

ROWS = 300
PATIENCE_S = 60
PASSWORD, PASSPHRASE = os.environ["PASSWORD"], os.environ["PASSPHRASE"]
WRONG = "wrong-" + PASSWORD

JOB = """
[source]
kafka = {{ bootstrap_servers = "{servers}", subscribe = "{topic}", options = {{
{options}
}} }}
format = "json"
schema = "sql/visits/schema.sql"
[table]
path = "lake/visits/visits"
"""
SCHEMA = "CREATE TABLE visits (visitor BIGINT NOT NULL, channel TEXT)"


class Failure(Exception):
    """What was found to be wrong."""


def check(holds, what):
    if not holds:
        raise Failure(what)


class Tidemill:
    """A binary with a project and a lake of its own, whose output and files are searched for secrets."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        (folder / "jobs").mkdir(parents=True)
        (folder / "sql/visits").mkdir(parents=True)
        (folder / "sql/visits/schema.sql").write_text(SCHEMA)
        (folder / "sql/visits/messages.sql").write_text("-- table: visits.visits\nSELECT * FROM visits")

    def job(self, servers, topic, options):
        lines = ",\n".join(f'  "{key}" = "{value}"' for key, value in options.items())
        text = JOB.format(servers=servers, topic=topic, options=lines)
        (self.folder / "jobs/visits.toml").write_text(text)

    def run(self, *arguments, environment=None):
        command = [self.binary, "--lake", "lake", "-vv", *arguments]
        everything = os.environ | {"KAFKA_PASSWORD": PASSWORD, "KAFKA_PASSPHRASE": PASSPHRASE} | (environment or {})
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=self.folder, env=everything, capture_output=True, text=True, timeout=300, check=False
        )
        self.no_secret(done)
        return done, time.monotonic() - began

    def stream(self, **more):
        return self.run("stream", "visits", "--available-now", "--progress", "json", **more)

    def rows(self):
        done, _ = self.run("sql", "SELECT count(*) AS n, count(DISTINCT visitor) AS d FROM visits.visits", "--format", "json")
        check(done.returncode == 0, done.stderr)
        row = json.loads(done.stdout)[0]
        return row["n"], row["d"]

    def no_secret(self, done):
        for secret in (PASSWORD, PASSPHRASE):
            check(secret not in done.stdout + done.stderr, f"a secret is printed: {done.args}")
            files = [path for path in (self.folder / "lake").rglob("*") if path.is_file()]
            kept = [path for path in files if secret.encode() in path.read_bytes()]
            check(not kept, f"a secret is in {kept}")


def python_options(arguments, protocol, mechanism):
    """What kafka-python calls the same."""
    if protocol == "SSL":
        made = arguments.made
        return {"security_protocol": protocol, "ssl_cafile": made / "ca.crt", "ssl_certfile": made / "reader.crt",
                "ssl_keyfile": made / "reader.enc.key", "ssl_password": PASSPHRASE}
    options = {"security_protocol": protocol, "sasl_mechanism": mechanism, "sasl_plain_username": "reader",
               "sasl_plain_password": PASSWORD}
    return options | ({"ssl_cafile": arguments.made / "ca.crt"} if protocol == "SASL_SSL" else {})


def options_of(arguments, protocol, mechanism):
    """The options of a job; the secrets come from the environment and from a file."""
    options = {"security.protocol": protocol}
    if protocol in ("SSL", "SASL_SSL"):
        options["ssl.ca.location"] = arguments.made / "ca.crt"
    if protocol == "SSL":
        options |= {"ssl.certificate.location": arguments.made / "reader.crt",
                    "ssl.key.location": arguments.made / "reader.enc.key",
                    "ssl.key.password": "${KAFKA_PASSPHRASE}"}
    else:
        secret = "${file:password}" if mechanism == "SCRAM-SHA-512" else "${KAFKA_PASSWORD}"
        options |= {"sasl.mechanism": mechanism, "sasl.username": "reader", "sasl.password": secret}
    return options


def server_of(arguments, protocol):
    return {"SSL": arguments.ssl, "SASL_SSL": arguments.sasl_ssl, "SASL_PLAINTEXT": arguments.sasl_plaintext}[protocol]


def fresh(arguments, binary, folder, protocol, mechanism, topic):
    tidemill = Tidemill(arguments.made / binary, folder)
    (folder / "password").write_text(PASSWORD + "\n")
    tidemill.job(server_of(arguments, protocol), topic, options_of(arguments, protocol, mechanism))
    return tidemill


def it_reads_and_writes(arguments, folder, binary, protocol, mechanism):
    name = f"{binary}-{protocol}-{mechanism or 'certificate'}"
    topic = name.lower()
    server, secured = server_of(arguments, protocol), python_options(arguments, protocol, mechanism)
    tidemill = fresh(arguments, binary, folder / name, protocol, mechanism, topic)

    # There, by others.
    producer = kafka.KafkaProducer(bootstrap_servers=server, **secured)
    sent = [producer.send(topic, json.dumps({"visitor": i, "channel": "Web"}).encode()) for i in range(ROWS)]
    [future.get(PATIENCE_S) for future in sent]
    producer.close()
    done, _ = tidemill.stream()
    check(done.returncode == 0, f"{name}: {done.stderr}")
    check(tidemill.rows() == (ROWS, ROWS), f"{name}: {tidemill.rows()} rows of {ROWS}")
    source = json.loads(done.stdout)["sources"][0]
    check(source["latestOffset"] == {topic: {"0": ROWS}}, f"{name}: {source}")
    check(source["metrics"]["maxOffsetsBehindLatest"] == "0", f"{name}: {source}")
    consumer = kafka.KafkaConsumer(bootstrap_servers=server, group_id="tidemill-visits", enable_auto_commit=False, **secured)
    partition = kafka.TopicPartition(topic, 0)
    check(consumer.committed(partition) == ROWS, f"{name}: the group is at {consumer.committed(partition)}")

    # And back, read by others.
    done, _ = tidemill.run("produce", "visits", "--topic", f"{topic}-back")
    check(done.returncode == 0, f"{name}: {done.stderr}")
    back = kafka.TopicPartition(f"{topic}-back", 0)
    consumer.assign([back])
    consumer.seek_to_beginning()
    read, deadline = [], time.monotonic() + PATIENCE_S
    while len(read) < ROWS and time.monotonic() < deadline:
        read += [json.loads(m.value)["visitor"] for ms in consumer.poll(timeout_ms=200).values() for m in ms]
    check(sorted(read) == list(range(ROWS)), f"{name}: {len(read)} messages came back")
    consumer.close()
    print(f"ok: {name}: {ROWS} messages in and out, the group is told")


def refused(arguments, folder, what, protocol, mechanism, changes, *words, environment=None, server=None, code=2):
    """It says which setting is wrong, soon, and neither the right secret nor the wrong one."""
    for command in (["stream", "visits", "--available-now"], ["produce", "visits", "--input", "rows.csv"]):
        tidemill = Tidemill(arguments.made / "with-tls", folder / f"{what.replace(' ', '-')}-{command[0]}")
        (tidemill.folder / "rows.csv").write_text("visitor,channel\n1,Web\n")
        options = options_of(arguments, protocol, mechanism) | changes
        tidemill.job(server or server_of(arguments, protocol), "refused", {k: v for k, v in options.items() if v is not None})
        (tidemill.folder / "password").write_text(PASSWORD)
        done, seconds = tidemill.run(*command, environment=environment)
        check(done.returncode == code, f"{what}: {command[0]} ended with {done.returncode}: {done.stderr}")
        error = done.stderr[f"\n{done.stderr}".rindex("\nerror: ") :]
        for word in words:
            check(word.lower() in error.lower(), f"{what}: no `{word}` in what {command[0]} says: {error}")
        check(seconds < (6 if code == 2 else 20), f"{what}: {command[0]} took {seconds:.1f} s")
    print(f"ok: {what}: {error.splitlines()[0]} ({seconds:.1f} s)")


def refusals(arguments, folder):
    made = arguments.made
    wrong = {"KAFKA_PASSWORD": WRONG, "KAFKA_PASSPHRASE": WRONG}
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        refused(arguments, folder, f"wrong password {mechanism}", "SASL_SSL", mechanism, {}, "refuse the connection",
                "authentication", "sasl.password", environment=wrong)
    refused(arguments, folder, "wrong passphrase", "SSL", None, {}, "ssl.key", environment=wrong)
    refused(arguments, folder, "stranger's authority", "SASL_SSL", "PLAIN", {"ssl.ca.location": made / "stranger.crt"},
            "refuse the connection", "certificate verify failed", "ssl.ca.location")
    refused(arguments, folder, "no authority", "SASL_SSL", "PLAIN", {"ssl.ca.location": None}, "refuse the connection",
            "certificate verify failed", "ssl.ca.location")
    refused(arguments, folder, "broken certificate", "SSL", None, {"ssl.ca.location": made / "broken.crt"}, "ssl.ca.location")
    refused(arguments, folder, "certificate not there", "SSL", None, {"ssl.ca.location": made / "none.crt"}, "ssl.ca.location")
    refused(arguments, folder, "no certificate of its own", "SSL", None,
            {"ssl.certificate.location": None, "ssl.key.location": None, "ssl.key.password": None},
            "refuse the connection", "certificate")
    refused(arguments, folder, "a name that the certificate has not", "SASL_SSL", "PLAIN", {}, "refuse the connection",
            "certificate verify failed", server=arguments.sasl_ssl.replace("127.0.0.1", "localhost"))
    refused(arguments, folder, "TLS to a plain listener", "SASL_SSL", "PLAIN", {}, "refuse the connection",
            "PLAINTEXT broker", "security.protocol", server=arguments.plaintext, code=1)


def without_the_feature(arguments, folder):
    for protocol, mechanism in (("SSL", None), ("SASL_SSL", "PLAIN"), ("SASL_PLAINTEXT", "SCRAM-SHA-256")):
        tidemill = fresh(arguments, "usual", folder / f"usual-{protocol}", protocol, mechanism, "t")
        done, _ = tidemill.stream()
        check(done.returncode == 2 and "kafka-tls" in done.stderr, f"{protocol}: {done.stderr}")
    print("ok: without the feature one error names it")


def a_group_that_may_not_commit(arguments, folder):
    """The broker refuses the group: a line at debug level, all rows, and no time to speak of."""
    admin = kafka.admin.KafkaAdminClient(bootstrap_servers=arguments.plaintext)
    denied = kafka.admin.ACL(
        principal="User:reader", host="*", operation=kafka.admin.ACLOperation.ALL,
        permission_type=kafka.admin.ACLPermissionType.DENY,
        resource_pattern=kafka.admin.ResourcePattern(kafka.admin.ResourceType.GROUP, "tidemill-visits"))
    admin.create_acls([denied])
    topic = "with-tls-sasl_ssl-scram-sha-256"
    # A start may be through before the group's coordinator is found, or answers, and then nobody has refused anything.
    for attempt in range(3):
        tidemill = fresh(arguments, "with-tls", folder / f"denied-{attempt}", "SASL_SSL", "SCRAM-SHA-256", topic)
        done, seconds = tidemill.stream()
        check(done.returncode == 0, f"a denied group: {done.stderr}")
        check(tidemill.rows() == (ROWS, ROWS), f"a denied group: {tidemill.rows()}")
        line = next((line for line in done.stderr.splitlines() if "GroupAuthorizationFailed" in line), "")
        if line:
            break
    check("DEBUG" in line, f"no line of it: {done.stderr}")
    check(not any("WARN" in line or "ERROR" in line for line in done.stderr.splitlines()), done.stderr)
    check(seconds < 10, f"a denied group costs {seconds:.1f} s")
    print(f"ok: a group that the broker refuses is a line at debug level ({seconds:.1f} s)")


def librdkafka_is_talkative(arguments, folder):
    """All that librdkafka can say of a connection, which secrets must not be in either."""
    topic = "with-tls-sasl_ssl-plain"
    tidemill = fresh(arguments, "with-tls", folder / "debug", "SASL_SSL", "PLAIN", topic)
    options = options_of(arguments, "SASL_SSL", "PLAIN") | {"debug": "all", "log_level": "7"}
    tidemill.job(arguments.sasl_ssl, topic, options)
    done, _ = tidemill.stream(environment={"RUST_LOG": "trace"})
    check(done.returncode == 0 and "SASL" in done.stderr, f"debug: {done.stderr[-2000:]}")
    print(f"ok: no secret in {len(done.stderr):,} bytes of librdkafka's debug log")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--made", required=True, type=pathlib.Path, help="folder of certificates and both binaries")
    for listener in ("plaintext", "ssl", "sasl-ssl", "sasl-plaintext"):
        parser.add_argument(f"--{listener}", required=True, help="HOST:PORT")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        try:
            it_reads_and_writes(arguments, folder, "usual", "SASL_PLAINTEXT", "PLAIN")
            it_reads_and_writes(arguments, folder, "with-tls", "SSL", None)
            for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
                it_reads_and_writes(arguments, folder, "with-tls", "SASL_SSL", mechanism)
            it_reads_and_writes(arguments, folder, "with-tls", "SASL_PLAINTEXT", "SCRAM-SHA-256")
            without_the_feature(arguments, folder)
            refusals(arguments, folder)
            librdkafka_is_talkative(arguments, folder)
            a_group_that_may_not_commit(arguments, folder)
        except Failure as failure:
            print(f"failed: {failure}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
