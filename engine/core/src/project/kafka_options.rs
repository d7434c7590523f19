//! Which of librdkafka's properties a job may set.
//!
//! Where reading begins, goes on and ends follows from the job's plans: that is what makes each message count once. A
//! property that has a say in it is refused by its name, with the reason, and so is one that has no effect here, since
//! whoever wrote it expects one. What passes is how brokers are reached, trusted and asked.
//!
//! The names are those of librdkafka's CONFIGURATION.md, version 2.12.

use std::collections::BTreeMap;

use crate::error::nearest;
use crate::error::{Error, Result};

/// Properties that are refused, by the reason.
const REFUSED: [(&str, &[&str]); 11] = [
    (
        "where reading begins and goes on is decided by the job's plans alone; for a new job there is \
         source.starting_offsets, and for messages that are gone source.fail_on_data_loss",
        &[
            "auto.offset.reset",
            "enable.auto.commit",
            "auto.commit.enable",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "offset.store.method",
            "offset.store.path",
            "offset.store.sync.interval.ms",
        ],
    ),
    (
        "where a batch ends is decided by its plan, which needs to be told of the end",
        &["enable.partition.eof"],
    ),
    (
        "what is read is always read_committed: messages of a transaction that was aborted are no rows, and those of \
         an open one are not read yet",
        &["isolation.level"],
    ),
    (
        "an older protocol does not tell which transactions were aborted",
        &["api.version.request", "api.version.fallback.ms", "broker.version.fallback"],
    ),
    (
        "the driver reads every partition itself and joins no group",
        &[
            "group.instance.id",
            "group.protocol",
            "group.protocol.type",
            "group.remote.assignor",
            "heartbeat.interval.ms",
            "max.poll.interval.ms",
            "partition.assignment.strategy",
            "session.timeout.ms",
        ],
    ),
    (
        "the brokers are those of source.kafka.bootstrap_servers",
        &["bootstrap.servers", "metadata.broker.list"],
    ),
    (
        "which topic is read is said by source.kafka.subscribe, and a topic that is not there is an error",
        &["allow.auto.create.topics", "topic.blacklist"],
    ),
    (
        "it is set by a program, not by a text",
        &[
            "background_event_cb",
            "builtin.features",
            "closesocket_cb",
            "connect_cb",
            "consume.callback.max.messages",
            "consume_cb",
            "default_topic_conf",
            "dr_cb",
            "dr_msg_cb",
            "enabled_events",
            "error_cb",
            "log.queue",
            "log_cb",
            "msg_order_cmp",
            "oauthbearer_token_refresh_cb",
            "offset_commit_cb",
            "opaque",
            "open_cb",
            "partitioner_cb",
            "rebalance_cb",
            "resolve_cb",
            "socket_cb",
            "ssl.certificate.verify_cb",
            "ssl_ca",
            "ssl_certificate",
            "ssl_engine_callback_data",
            "ssl_key",
            "stats_cb",
            "throttle_cb",
        ],
    ),
    (
        "code that is loaded into the client could change what is read",
        &["interceptors", "plugin.library.paths"],
    ),
    ("signals are the driver's", &["internal.termination.signal"]),
    (
        "a message that `tidemill produce` sends arrives once, and is known to have arrived",
        &[
            "acks",
            "delivery.report.only.error",
            "enable.gapless.guarantee",
            "enable.idempotence",
            "message.send.max.retries",
            "produce.offset.report",
            "queuing.strategy",
            "request.required.acks",
            "retries",
            "transaction.timeout.ms",
            "transactional.id",
        ],
    ),
];

/// Properties that pass: how brokers are asked, and how fast.
const PASSES: [&str; 52] = [
    "api.version.request.timeout.ms",
    "broker.address.family",
    "broker.address.ttl",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "coordinator.query.interval.ms",
    "debug",
    "enable.metrics.push",
    "enable.random.seed",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "log.connection.close",
    "log.thread.name",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "message.copy.max.bytes",
    "message.max.bytes",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.jitter.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "socket.blocking.max.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "statistics.interval.ms",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.cnt",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
];

/// Properties that pass: how brokers are trusted, and the driver by them.
const SECURITY: [&str; 55] = [
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "https.ca.location",
    "https.ca.pem",
    "sasl.kerberos.keytab",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.providers",
    "ssl.sigalgs.list",
];

/// Properties that pass: how `tidemill produce` sends, which takes the job's options too.
const PRODUCE: [&str; 15] = [
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.timeout.ms",
    "linger.ms",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.timeout.ms",
    "sticky.partitioning.linger.ms",
];

/// Checks the names of a job's `source.kafka.options`.
///
/// # Errors
/// User: a property that decides what is read or has no effect, or one that there is not (the nearest is named).
pub(super) fn check(options: &BTreeMap<String, String>) -> Result<()> {
    options.keys().try_for_each(|name| check_name(name).map_err(|e| e.context("source.kafka.options")))
}

fn check_name(name: &str) -> Result<()> {
    if [PASSES.contains(&name), SECURITY.contains(&name), PRODUCE.contains(&name)].contains(&true) {
        return Ok(());
    }
    if let Some((reason, _)) = REFUSED.iter().find(|(_, names)| names.contains(&name)) {
        return Err(Error::user(format!("`{name}` is not for a job to set: {reason}"))
            .hint("take it out; jobs/README.md lists what passes"));
    }
    let error = Error::user(format!("librdkafka has no property `{name}`"));
    Err(match nearest(name, PASSES.into_iter().chain(SECURITY).chain(PRODUCE)) {
        Some(near) => error.hint(format!("did you mean `{near}`? jobs/README.md lists what passes")),
        None => error.hint("jobs/README.md lists what passes"),
    })
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::*;

    fn said(name: &str) -> (String, String) {
        let error = check(&BTreeMap::from([(name.to_owned(), "x".to_owned())])).unwrap_err();
        (error.to_string(), error.next_step().unwrap_or_default().to_owned())
    }

    #[test]
    fn what_decides_where_reading_begins_ends_or_goes_on_is_refused_by_name_with_the_reason() {
        for (name, reason) in [
            ("auto.offset.reset", "source.starting_offsets"),
            ("enable.auto.commit", "where reading begins"),
            ("enable.auto.offset.store", "where reading begins"),
            ("enable.partition.eof", "where a batch ends"),
            ("isolation.level", "read_committed"),
            ("broker.version.fallback", "aborted"),
            ("bootstrap.servers", "source.kafka.bootstrap_servers"),
            ("partition.assignment.strategy", "no group"),
            ("allow.auto.create.topics", "source.kafka.subscribe"),
            ("plugin.library.paths", "could change what is read"),
            ("enable.idempotence", "arrives once"),
        ] {
            let (message, _) = said(name);
            assert!(message.contains(&format!("`{name}`")) && message.contains(reason), "{message}");
        }
    }

    #[test]
    fn an_unknown_property_is_answered_with_the_nearest() {
        let (message, hint) = said("fetch.max.byte");
        assert!(
            message.contains("no property `fetch.max.byte`") && hint.contains("`fetch.max.bytes`"),
            "{hint}"
        );
        assert!(said("SECURITY.PROTOCOL").0.contains("no property"), "names are as librdkafka has them");
    }

    #[test]
    fn security_and_tuning_pass() {
        let names = ["security.protocol", "sasl.password", "ssl.ca.location", "client.id", "fetch.max.bytes"];
        check(&names.map(|name| (name.to_owned(), "x".to_owned())).into()).unwrap();
    }

    /// librdkafka knows every name that passes, so that none is a slip of the pen, and no name is listed twice.
    #[test]
    fn every_name_is_one_of_librdkafkas() {
        // A value that it does not take, or a feature that this build has not, is said in other words.
        let known = |name: &str| match ClientConfig::new().set(name, "1").create_native_config() {
            Ok(_) => true,
            Err(error) => !error.to_string().contains("No such configuration property"),
        };
        assert!(!known("fetch.max.byte"));
        for name in PASSES.into_iter().chain(SECURITY).chain(PRODUCE) {
            assert!(known(name), "{name}");
        }
        let mut all: Vec<&str> = REFUSED.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        all.extend(PASSES.into_iter().chain(SECURITY).chain(PRODUCE));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
