#!/usr/bin/env bash
# Everything that wants Apache Kafka or clients from PyPI, and says what it had to leave out. See --help.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=$root/target/kafka-run

if [ $# -gt 0 ]; then
    case $1 in
        -h | --help)
            cat <<'HELP'
Runs the Kafka-facing tests against Apache Kafka 4, and clients of other makes against both brokers.

Usage: tests/kafka/run.sh

  1. starts Apache Kafka (tests/kafka/start.sh) on a free loopback port
  2. cargo test --workspace --test engine, those tests that talk to Kafka, with TIDEMILL_TEST_KAFKA set
  3. tests/kafka/clients.py (kafka-python, confluent-kafka) with the debug binary, both brokers
  4. stops Apache Kafka, also after a failure

What cannot be had (Java, Maven Central, Python, PyPI) is a line `skipped: …`, in the summary too.
Exit code: 0 what ran passed, 1 something failed, 77 nothing could run.
HELP
            exit 0 ;;
        *) echo "error: unknown argument $1; see tests/kafka/run.sh --help" >&2; exit 2 ;;
    esac
fi

passed=() skipped=() failed=()

pass() { passed+=("$1"); }
fail() { failed+=("$1"); echo "failed: $1" >&2; }
skip() { skipped+=("$1"); echo "skipped: $1"; }

cleanup() { "$here/start.sh" --stop --dir "$dir"; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Left by a run that was killed: it would hold the folder.
cleanup

bootstrap=
if started=$("$here/start.sh" --dir "$dir"); then
    bootstrap=$(sed -n 's/^bootstrap=//p' <<<"$started")
    echo "Apache Kafka is at $bootstrap"
elif [ $? -eq 77 ]; then
    skip "${started#skipped: }"
else
    fail "Apache Kafka did not start"
fi

cd "$root" || exit 1
# Not a test run of its own: what `cargo test --workspace` has built is used as it is.
if ! cargo test --quiet --workspace --no-run; then
    fail "the workspace does not build"
    exit 1
fi

if [ -n "$bootstrap" ]; then
    what="engine tests against Apache Kafka"
    # The long test of the embedded broker alone is one of `cargo test --workspace`.
    if TIDEMILL_TEST_KAFKA=$bootstrap cargo test --workspace --test engine -- \
        kafka:: kafka_speed:: kill:: generate_produce group_offsets:: --include-ignored --skip with_the_embedded_broker; then
        pass "$what"
    else
        fail "$what"
        echo "the end of $dir/kafka.log:" >&2
        tail -n 20 "$dir/kafka.log" >&2
    fi
fi

. "$here/venv.sh"
if reason=$(make_venv); then
    clients() { "$dir/venv/bin/python" "$here/clients.py" --tidemill "$root/target/debug/tidemill" "$@"; }
    what="kafka-python and confluent-kafka with the embedded broker"
    if clients; then pass "$what"; else fail "$what"; fi
    if [ -n "$bootstrap" ]; then
        what="kafka-python and confluent-kafka with Apache Kafka"
        if clients --bootstrap "$bootstrap"; then pass "$what"; else fail "$what"; fi
    fi
else
    skip "kafka-python and confluent-kafka ($reason)"
fi

echo
for one in "${passed[@]+"${passed[@]}"}"; do echo "passed: $one"; done
for one in "${skipped[@]+"${skipped[@]}"}"; do echo "skipped: $one"; done
for one in "${failed[@]+"${failed[@]}"}"; do echo "failed: $one"; done
[ ${#failed[@]} -eq 0 ] || exit 1
[ ${#passed[@]} -gt 0 ] || exit 77
