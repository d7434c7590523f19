#!/usr/bin/env bash
# TLS and SASL against Apache Kafka, with certificates and users of its own. See --help.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=$root/target/kafka-run
made=$dir/secure

if [ $# -gt 0 ]; then
    case $1 in
        -h | --help)
            cat <<'HELP'
Builds tidemill with the feature kafka-tls (debug, beside the other build's files) and tries it on Apache Kafka 4:
SSL with client certificates, SASL_SSL with PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, and what happens when a password,
a certificate or a passphrase is wrong. No secret may be in what is printed or in the lake.

Usage: tests/kafka/secure.sh

What is wanted beside what tests/kafka/run.sh wants: perl, make and openssl, installed on Debian where they are missing.
Exit code: 0 passed, 1 failed, 77 something cannot be had, with a line `skipped: …`.
HELP
            exit 0 ;;
        *) echo "error: unknown argument $1; see tests/kafka/secure.sh --help" >&2; exit 2 ;;
    esac
fi

skip() { echo "skipped: TLS and SASL ($1)"; exit 77; }

missing() {
    local tool
    for tool in make openssl; do command -v "$tool" >/dev/null || echo "$tool"; done
    # The perl of a small system lacks modules that OpenSSL's build uses.
    perl -MFindBin -MIPC::Cmd -MFile::Compare -MTime::Piece -e 1 2>/dev/null || echo perl
}
if [ -n "$(missing)" ]; then
    { apt-get update -qq && apt-get install -y -qq perl make openssl; } >/dev/null 2>&1 || true
    [ -z "$(missing)" ] || skip "there is no $(missing | head -n 1)"
fi
mkdir -p "$made"

. "$here/venv.sh"
reason=$(make_venv) || skip "$reason"

# A key, a request signed by the authority of this run, and what a broker reads: both in one file.
certify() {
    local name=$1 subject=$2
    openssl req -newkey rsa:2048 -nodes -keyout "$made/$name.key" -out "$made/$name.csr" -subj "$subject" &&
        openssl x509 -req -in "$made/$name.csr" -CA "$made/ca.crt" -CAkey "$made/ca.key" -CAcreateserial -days 2 \
            -extfile <(echo "subjectAltName=IP:127.0.0.1") -out "$made/$name.crt" &&
        cat "$made/$name.key" "$made/$name.crt" >"$made/$name.pem"
}

authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$made/$1.key" -out "$made/$1.crt" -subj "/CN=$1"
}

make_certificates() {
    authority ca && authority stranger && certify broker "/CN=127.0.0.1" && certify reader "/CN=reader" &&
        openssl pkcs8 -topk8 -v2 aes-256-cbc -in "$made/reader.key" -passout "pass:$PASSPHRASE" -out "$made/reader.enc.key" &&
        { echo "-----BEGIN CERTIFICATE-----"; head -c 600 "$made/ca.crt" | tail -c 500; } >"$made/broken.crt"
}

# What the tests look for in all that is written: no other text has them in it.
secret() { echo "$1-$(openssl rand -hex 12)"; }
PASSPHRASE=$(secret passphrase) PASSWORD=$(secret password)
export PASSPHRASE PASSWORD
make_certificates >"$made/openssl.log" 2>&1 || { echo "failed: certificates; see $made/openssl.log" >&2; exit 1; }

cleanup() { "$here/start.sh" --stop --dir "$dir"; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cleanup

port() { "$dir/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ssl=$(port) sasl_ssl=$(port) sasl_plaintext=$(port)
plain="org.apache.kafka.common.security.plain.PlainLoginModule required user_reader=\"$PASSWORD\";"
scram="org.apache.kafka.common.security.scram.ScramLoginModule required;"
cat >"$made/server.properties" <<PROPERTIES
listeners=PLAINTEXT://127.0.0.1:%PORT%,CONTROLLER://127.0.0.1:%CONTROLLER%,SSL://127.0.0.1:$ssl,SASL_SSL://127.0.0.1:$sasl_ssl,SASL_PLAINTEXT://127.0.0.1:$sasl_plaintext
advertised.listeners=PLAINTEXT://127.0.0.1:%PORT%,SSL://127.0.0.1:$ssl,SASL_SSL://127.0.0.1:$sasl_ssl,SASL_PLAINTEXT://127.0.0.1:$sasl_plaintext
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location=$made/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$made/ca.crt
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=$plain
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=$scram
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=$scram
listener.name.sasl_plaintext.plain.sasl.jaas.config=$plain
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=$scram
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=$scram
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
PROPERTIES

started=$("$here/start.sh" --dir "$dir" --properties "$made/server.properties" \
    --scram "SCRAM-SHA-256=[name=reader,password=$PASSWORD]" --scram "SCRAM-SHA-512=[name=reader,password=$PASSWORD]")
case $? in
    0) bootstrap=$(sed -n 's/^bootstrap=//p' <<<"$started") ;;
    77) skip "${started#skipped: }" ;;
    *) echo "failed: Apache Kafka did not start" >&2; exit 1 ;;
esac

# Both builds share all dependencies but librdkafka; what `cargo build` leaves in target/debug is the usual one.
cd "$root" || exit 1
target=${CARGO_TARGET_DIR:-$root/target}
build() { cargo build --quiet -p tidemill "$@" && cp -f "$target/debug/tidemill" "$made/$name"; }
began=$SECONDS
name=with-tls build --features kafka-tls || { echo "failed: the build with kafka-tls" >&2; exit 1; }
echo "the build with kafka-tls took $((SECONDS - began)) s"
name=usual build || { echo "failed: the usual build" >&2; exit 1; }

"$dir/venv/bin/python" "$here/secure.py" --made "$made" --plaintext "$bootstrap" --ssl "127.0.0.1:$ssl" \
    --sasl-ssl "127.0.0.1:$sasl_ssl" --sasl-plaintext "127.0.0.1:$sasl_plaintext"
code=$?
[ "$code" -eq 0 ] || tail -n 20 "$dir/kafka.log" >&2
exit "$code"
