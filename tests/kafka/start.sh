#!/usr/bin/env bash
# Apache Kafka 4 for the tests: one KRaft node on a free loopback port. See --help.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$here/../../target/kafka
port=
more=
scram=()
action=start

usage() {
    cat <<'HELP'
Starts Apache Kafka 4 (KRaft, one node, 512 MB of heap) on a free loopback port, for tests.

Usage: tests/kafka/start.sh [--dir DIR] [--port N] [--properties FILE] [--scram USER]…
                                                       start it; prints bootstrap=127.0.0.1:PORT
       tests/kafka/start.sh --stop [--dir DIR]         stop it and remove its data (also: tests/kafka/stop.sh)

  --dir DIR   folder of jars, data, log and process id; target/kafka if not given
  --port N    listen here instead of on a free port
  --properties FILE   more settings of the server, which win; %PORT% and %CONTROLLER% are its two ports
  --scram USER        a user as StorageTool takes it: 'SCRAM-SHA-256=[name=NAME,password=PASSWORD]'
  --help      this text

The jars come from Maven Central by tests/kafka/pom.xml (43 MB, once), so Java 17 or newer and Maven are wanted.
Where they cannot be had: one line `skipped: Apache Kafka (reason)` and exit code 77.

Example:
  tests/kafka/start.sh --port 9092
  tidemill produce chicago-arrests --input crimes.csv && tidemill stream chicago-arrests --available-now
  tests/kafka/start.sh --stop
HELP
}

usage_error() {
    echo "error: $1; see tests/kafka/start.sh --help" >&2
    exit 2
}

skip() {
    echo "skipped: Apache Kafka ($1)"
    exit 77
}

while [ $# -gt 0 ]; do
    case $1 in
        --stop) action=stop ;;
        --dir) [ $# -gt 1 ] || usage_error "--dir wants a folder"; dir=$2; shift ;;
        --port)
            [ $# -gt 1 ] || usage_error "--port wants a number"
            [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || usage_error "--port $2 is no port number"
            port=$2; shift ;;
        --properties) [ $# -gt 1 ] || usage_error "--properties wants a file"; more=$2; shift ;;
        --scram) [ $# -gt 1 ] || usage_error "--scram wants a user"; scram+=(--add-scram "$2"); shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage_error "unknown argument $1" ;;
    esac
    shift
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
pid_file=$dir/kafka.pid

# The process id of a Kafka of this folder that runs, if one does: an id alone may be another process by now.
running() {
    local pid
    [ -f "$pid_file" ] || return 1
    pid=$(cat "$pid_file")
    ps -p "$pid" -o args= 2>/dev/null | grep -qF "$dir/server.properties" || return 1
    echo "$pid"
}

stop() {
    local pid
    if pid=$(running); then
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do
            running >/dev/null || break
            sleep 0.1
        done
        # Its data is thrown away: nothing is lost by not waiting longer.
        if running >/dev/null; then kill -9 "$pid" 2>/dev/null || true; fi
    fi
    rm -rf "$pid_file" "$dir/data"
}

accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the range from which the system hands out ports of its own.
free_port() {
    local candidate
    while :; do
        candidate=$((20000 + RANDOM % 12000))
        [ "$candidate" != "${1:-}" ] && ! accepts "$candidate" && break
    done
    echo "$candidate"
}

fetch_jars() {
    local wanted
    wanted=$(cksum <"$here/pom.xml")
    [ "$(cat "$dir/libs/.pom" 2>/dev/null)" = "$wanted" ] && return
    command -v mvn >/dev/null || skip "there is no Maven: mvn"
    rm -rf "$dir/libs"
    if ! mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$dir/libs" >"$dir/maven.log" 2>&1; then
        rm -rf "$dir/libs"
        skip "Maven cannot get it: $(sed -n 's/^.*\[ERROR\] //p' "$dir/maven.log" | head -n 1 | cut -c1-300 | grep . || echo "see $dir/maven.log")"
    fi
    echo "$wanted" >"$dir/libs/.pom"
}

write_properties() {
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$2
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2
advertised.listeners=PLAINTEXT://127.0.0.1:$1
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
# One node holds everything.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
# Compaction and retention in seconds, not minutes. A test rolls a segment with its topic's segment.ms.
log.initial.task.delay.ms=200
log.cleaner.backoff.ms=200
log.cleaner.min.cleanable.ratio=0.01
log.cleaner.dedupe.buffer.size=16777216
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=500
log.segment.bytes=4194304
log.index.size.max.bytes=1048576
PROPERTIES
    if [ -n "$more" ]; then sed "s/%PORT%/$1/g; s/%CONTROLLER%/$2/g" "$more" >>"$dir/server.properties"; fi
}

# Starts it on the port $1; fails if it ends before it accepts.
launch() {
    local cluster_id pid
    write_properties "$1" "$(free_port "$1")"
    rm -rf "$dir/data"
    local java=(java -cp "$dir/libs/*" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn)
    cluster_id=$("${java[@]}" kafka.tools.StorageTool random-uuid 2>>"$dir/kafka.log")
    "${java[@]}" kafka.tools.StorageTool format -t "$cluster_id" -c "$dir/server.properties" "${scram[@]+"${scram[@]}"}" \
        >>"$dir/kafka.log" 2>&1 || return 1
    # A session of its own: a Ctrl-C that ends the tests leaves its end to --stop.
    setsid "${java[@]}" -Xms256m -Xmx512m -XX:+UseSerialGC -Djava.awt.headless=true \
        kafka.Kafka "$dir/server.properties" >>"$dir/kafka.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$pid_file"
    for _ in $(seq 300); do
        kill -0 "$pid" 2>/dev/null || return 1
        if accepts "$1"; then return 0; fi
        sleep 0.2
    done
    return 1
}

if [ "$action" = stop ]; then
    stop
    exit 0
fi
if pid=$(running); then
    echo "error: it runs already (process $pid); stop it with: tests/kafka/start.sh --stop --dir $dir" >&2
    exit 1
fi
command -v java >/dev/null || skip "there is no Java: java"
version=$(java -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p')
[ "${version:-0}" -ge 17 ] || skip "Java is ${version:-unknown}, 17 or newer is wanted"
fetch_jars

: >"$dir/kafka.log"
# Another process may take a free port before Kafka does.
for attempt in 1 2 3; do
    at=${port:-$(free_port)}
    if launch "$at"; then
        echo "bootstrap=127.0.0.1:$at"
        echo "pid_file=$pid_file"
        echo "stop=tests/kafka/start.sh --stop --dir $dir"
        exit 0
    fi
    stop
    [ -n "$port" ] && break
done
echo "error: Apache Kafka did not start; the end of $dir/kafka.log:" >&2
tail -n 15 "$dir/kafka.log" >&2
exit 1
