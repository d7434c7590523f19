//! TLS and SASL: what this build can do, what is set for librdkafka, and errors that give no secret away.
//!
//! librdkafka is built without OpenSSL unless the feature `kafka-tls` is on. It then has SASL PLAIN and nothing else,
//! and says of every other setting that it should be compiled anew; here that is one error, before anything connects.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaConfRes;

use crate::error::{Error, ErrorKind, Result};

/// Whether this build has TLS.
const TLS: bool = cfg!(feature = "kafka-tls");
/// SASL mechanisms that need a name and a password and nothing else.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
/// Wait for an answer until it is looked whether the broker has refused: a log-in takes some tenths of it.
const SOON: Duration = Duration::from_secs(1);
/// Wait for the reason of a question that got no answer: it is there already, behind lines of librdkafka's log.
const REASON: Duration = Duration::from_millis(50);
/// A property with one of these in its name holds a secret, or text that has one in it.
const SECRET: [&str; 5] = ["password", "secret", "pem", "token", "sasl.oauthbearer.config"];

/// What a connection is to be, by `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Protocol {
    tls: bool,
    sasl: bool,
}

impl Protocol {
    fn of(options: &BTreeMap<String, String>) -> Result<Protocol> {
        let written = options.get("security.protocol").map_or("PLAINTEXT", String::as_str);
        let (tls, sasl) = match written.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => {
                return Err(Error::user("source.kafka.options: security.protocol is none that there is")
                    .hint("it is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"));
            }
        };
        Ok(Protocol { tls, sasl })
    }
}

/// Whether the connection is neither encrypted nor begins with a log-in.
pub(super) fn is_plain(options: &BTreeMap<String, String>) -> bool {
    Protocol::of(options).is_ok_and(|protocol| !protocol.tls && !protocol.sasl)
}

/// Sets the options of a job on a client, after a check that this build can do what they ask for.
///
/// | `security.protocol` | `sasl.mechanism` | default build | with `kafka-tls` |
/// | --- | --- | --- | --- |
/// | none | none | set | set |
/// | none | any | User: it would not hold | the same |
/// | `PLAINTEXT` | any or none | set, but what is about TLS | the same |
/// | `SSL` | any or none | User: names the feature | set |
/// | `SASL_PLAINTEXT` | `PLAIN` | set, but what is about TLS | the same |
/// | `SASL_PLAINTEXT` | `SCRAM-…` | User: names the feature | set |
/// | `SASL_SSL` | one of both | User: names the feature | set |
/// | `SASL_…` | none or another | User: names those there are | the same |
///
/// With `PLAINTEXT` written out a job may keep its other settings: that is how one file serves a developer's broker too.
///
/// # Errors
/// User, as the table says.
pub fn set_options(client: &mut ClientConfig, options: &BTreeMap<String, String>) -> Result<()> {
    let protocol = Protocol::of(options)?;
    let mechanism = options.get("sasl.mechanism").or(options.get("sasl.mechanisms"));
    if protocol.sasl {
        let known = mechanism.is_some_and(|mechanism| MECHANISMS.contains(&mechanism.as_str()));
        if !known {
            let message = match mechanism {
                Some(_) => "source.kafka.options: sasl.mechanism is none that Tidemill has",
                None => {
                    "source.kafka.options: security.protocol asks for a log-in, sasl.mechanism does not say how"
                }
            };
            return Err(Error::user(message).hint(format!("it is one of {}", MECHANISMS.join(", "))));
        }
        if protocol.tls || mechanism.is_none_or(|mechanism| mechanism != "PLAIN") {
            needs_tls(if protocol.tls {
                "security.protocol = \"SASL_SSL\""
            } else {
                "sasl.mechanism = \"SCRAM-…\""
            })?;
        }
    } else if protocol.tls {
        needs_tls("security.protocol = \"SSL\"")?;
    } else if !options.contains_key("security.protocol")
        && let Some(key) = options.keys().find(|key| key.starts_with("sasl.") || is_about_tls(key))
    {
        return Err(Error::user(format!(
            "source.kafka.options: `{key}` does not hold, as there is no security.protocol and the connection is plain"
        ))
        .hint("write \"security.protocol\" = \"SASL_SSL\", \"SSL\" or \"SASL_PLAINTEXT\", or \"PLAINTEXT\" if that is meant"));
    }
    if protocol.tls && !["ssl.ca.location", "ssl.ca.pem"].iter().any(|key| options.contains_key(*key)) {
        // The OpenSSL that is built along does not know where this system has its certificates.
        client.set("ssl.ca.location", "probe");
    }
    for (key, value) in options.iter().filter(|(key, _)| protocol.tls || !is_about_tls(key)) {
        client.set(key, value);
    }
    Ok(())
}

fn is_about_tls(key: &str) -> bool {
    key.starts_with("ssl.") || key == "enable.ssl.certificate.verification"
}

fn needs_tls(setting: &str) -> Result<()> {
    if TLS {
        return Ok(());
    }
    Err(Error::user(format!("source.kafka.options: {setting} needs the feature kafka-tls, which this build has not got"))
        .hint("build it in (it wants perl and make): cargo build --release --features kafka-tls; without it there are PLAINTEXT, and SASL_PLAINTEXT with PLAIN"))
}

/// The error of a client that librdkafka would not make, without the value of any option.
pub fn option_error(error: &KafkaError, options: &BTreeMap<String, String>) -> Error {
    let text = match error {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, key, _) => {
            return Error::user(format!("source.kafka.options: there is no property `{key}`"))
                .hint("librdkafka's CONFIGURATION.md lists them");
        }
        KafkaError::ClientConfig(_, text, key, value) => {
            let shown = text.replace(&format!("\"{value}\""), "…").replace(&format!(" {value} "), " … ");
            match value.len() > 2 && shown.contains(value.as_str()) {
                true => format!("the value of `{key}` is not allowed"),
                false => shown,
            }
        }
        KafkaError::ClientCreation(text) => text.clone(),
        other => other.to_string(),
    };
    let said = Error::user(format!("source.kafka.options: {}", without_secrets(&text, options)));
    match error {
        KafkaError::ClientCreation(_) if text.contains("ssl.key.") => {
            said.hint("is it a key in PEM, and does ssl.key.password open it?")
        }
        KafkaError::ClientCreation(_) if text.contains("ssl.") => {
            said.hint("is it a file of certificates in PEM, and may it be read?")
        }
        _ => said,
    }
}

/// Takes the secrets among the options out of a text that is not ours.
fn without_secrets(text: &str, options: &BTreeMap<String, String>) -> String {
    let secrets = options.iter().filter(|(key, _)| SECRET.iter().any(|word| key.contains(word)));
    let mut text = text.to_owned();
    for (_, secret) in secrets.filter(|(_, secret)| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "…");
    }
    text
}

/// Hears what librdkafka says between two answers. Why a broker refuses a connection is told only there: the question
/// that was asked just gets no answer.
#[derive(Default)]
pub struct Listener {
    refusal: Mutex<Option<Refusal>>,
    group_refused: AtomicBool,
}

struct Refusal {
    reason: String,
    /// Another try gives the same: it is no broker that is just going away.
    certain: bool,
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        use RDKafkaLogLevel as Level;
        match level {
            // The group's offsets are a courtesy, and a stream may be through before the group's coordinator is found.
            _ if facility == "COMMITFAIL" => tracing::debug!(target: "librdkafka", "{facility} {line}"),
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(target: "librdkafka", "{facility} {line}");
            }
            Level::Warning => tracing::warn!(target: "librdkafka", "{facility} {line}"),
            Level::Notice | Level::Info => tracing::info!(target: "librdkafka", "{facility} {line}"),
            Level::Debug => tracing::debug!(target: "librdkafka", "{facility} {line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
        self.hear(&error, reason);
        if let Some(RDKafkaErrorCode::GroupAuthorizationFailed) = error.rdkafka_error_code() {
            self.group_refused.store(true, Ordering::Relaxed);
        }
    }
}

impl ConsumerContext for Listener {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "the broker did not take the group's offsets: monitors see older ones");
        }
    }
}

impl Listener {
    /// Takes note of an error if it says why a broker refuses.
    pub fn hear(&self, error: &KafkaError, reason: &str) {
        use RDKafkaErrorCode::{Authentication, BrokerTransportFailure, SSL, SaslAuthenticationFailed};
        let said = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        // What is broken off may be a broker that is just going away. One that wants a certificate lets the handshake
        // end well before it says so.
        let certain = match error.rdkafka_error_code() {
            Some(Authentication | SaslAuthenticationFailed | SSL) => Some(true),
            Some(BrokerTransportFailure) if said(&["SSL alert"]) => Some(true),
            Some(BrokerTransportFailure) if said(&["SSL handshake", "security.protocol"]) => Some(false),
            _ => None,
        };
        if let Some(certain) = certain {
            let mut refusal = self.refusal();
            if certain || refusal.as_ref().is_none_or(|before| !before.certain) {
                *refusal = Some(Refusal { reason: reason.to_owned(), certain });
            }
        }
    }

    /// Whether the brokers let nobody in this job's place use its consumer group.
    pub fn group_is_refused(&self) -> bool {
        self.group_refused.load(Ordering::Relaxed)
    }

    /// Whether a broker has refused, and another try gives the same.
    pub fn is_refused(&self) -> bool {
        self.refusal().as_ref().is_some_and(|refusal| refusal.certain)
    }

    /// Why brokers refused since the last call: User if another try gives the same, else Source.
    pub fn take_refusal(&self, bootstrap_servers: &str) -> Option<Error> {
        let Refusal { reason, certain } = self.refusal().take()?;
        let reason = brief(&reason);
        let about = match reason.to_ascii_lowercase().contains("sasl") {
            true => "sasl.mechanism, sasl.username and sasl.password",
            false => "security.protocol and the properties ssl.*",
        };
        let kind = if certain { ErrorKind::User } else { ErrorKind::Source };
        Some(
            Error::new(kind, format!("the brokers at {bootstrap_servers} refuse the connection: {reason}"))
                .hint(format!("it is decided by {about} under source.kafka.options")),
        )
    }

    /// Why brokers refuse, where they do.
    pub(super) fn refusal_reason(&self) -> Option<String> {
        self.refusal().as_ref().map(|refusal| brief(&refusal.reason).to_owned())
    }

    /// They have answered since.
    pub(super) fn forget_refusal(&self) {
        *self.refusal() = None;
    }

    fn refusal(&self) -> MutexGuard<'_, Option<Refusal>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reason as librdkafka gives it, without what is around it:
/// `sasl_ssl://host:port/bootstrap: SSL handshake failed: …: … (after 12ms in state SSL_HANDSHAKE)`.
fn brief(reason: &str) -> &str {
    let rest = reason.split_once("://").and_then(|(_, rest)| rest.split_once(": "));
    let reason = rest.map_or(reason, |(_, rest)| rest);
    reason.split_once(" (after ").map_or(reason, |(head, _)| head).trim_end_matches([':', ' '])
}

/// Why the brokers refused a consumer that got no answer, if they did.
pub(super) fn refusal(consumer: &BaseConsumer<Listener>, bootstrap_servers: &str) -> Option<Error> {
    is_refused(consumer);
    consumer.context().take_refusal(bootstrap_servers)
}

/// Whether the brokers have refused a consumer that is asked questions only.
pub(super) fn is_refused(consumer: &BaseConsumer<Listener>) -> bool {
    // It has nothing assigned: what comes are log lines and errors, and the listener hears each error on its way. They
    // come without end where connections fail at once.
    let until = Instant::now() + REASON;
    while Instant::now() < until && consumer.poll(REASON).is_some() {}
    consumer.context().is_refused()
}

/// Asks twice, shortly and then for as long as `answer`, unless the broker has refused meanwhile: one that refuses never
/// answers, and whoever mistyped a password is not to wait.
///
/// # Errors
/// Those of the question.
pub fn ask<T>(
    answer: Duration,
    refused: impl Fn() -> bool,
    question: impl Fn(Duration) -> KafkaResult<T>,
) -> KafkaResult<T> {
    match question(SOON.min(answer)) {
        Err(error) if answer > SOON && is_timeout(&error) && !refused() => question(answer),
        first => first,
    }
}

fn is_timeout(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{BrokerTransportFailure, OperationTimedOut};
    matches!(error.rdkafka_error_code(), Some(OperationTimedOut | BrokerTransportFailure))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &str = "hunter2-of-the-test";

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn outcome(pairs: &[(&str, &str)]) -> Result<ClientConfig> {
        let mut client = ClientConfig::new();
        set_options(&mut client, &options(pairs)).map(|()| client)
    }

    fn message(pairs: &[(&str, &str)]) -> String {
        outcome(pairs).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn every_row_of_the_table() {
        let log_in = [("sasl.username", "u"), ("sasl.password", WORD)];
        let with = |pairs: &[(&'static str, &'static str)]| [pairs, &log_in].concat();
        assert!(outcome(&[]).is_ok());
        assert!(message(&with(&[("sasl.mechanism", "PLAIN")])).contains("`sasl.mechanism` does not hold"));
        assert!(outcome(&with(&[("security.protocol", "plaintext"), ("sasl.mechanism", "PLAIN")])).is_ok());
        assert!(
            outcome(&with(&[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN")])).is_ok()
        );
        let needing: [&[(&str, &str)]; 4] = [
            &[("security.protocol", "ssl")],
            &[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "SCRAM-SHA-256")],
            &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-512")],
            &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")],
        ];
        for pairs in needing {
            match TLS {
                true => drop(outcome(&with(pairs)).unwrap()),
                false => assert!(message(&with(pairs)).contains("the feature kafka-tls"), "{pairs:?}"),
            }
        }
        for mechanism in [&[][..], &[("sasl.mechanism", "GSSAPI")], &[("sasl.mechanism", "scram-sha-256")]] {
            let error = outcome(&[mechanism, &[("security.protocol", "SASL_PLAINTEXT")]].concat()).map(drop);
            assert!(error.unwrap_err().next_step().unwrap().contains("SCRAM-SHA-512"), "{mechanism:?}");
        }
        assert!(message(&[("security.protocol", WORD)]).contains("security.protocol"));
        assert!(!message(&[("security.protocol", WORD)]).contains(WORD));
    }

    #[test]
    fn settings_of_tls_are_left_out_where_there_is_none() {
        let pairs =
            [("security.protocol", "PLAINTEXT"), ("ssl.key.password", WORD), ("fetch.min.bytes", "7")];
        let client = outcome(&pairs).unwrap();
        assert_eq!((client.get("ssl.key.password"), client.get("fetch.min.bytes")), (None, Some("7")));
        client.create::<BaseConsumer>().unwrap();
    }

    #[test]
    fn an_option_that_librdkafka_refuses_is_named_and_its_value_is_not() {
        for (key, value) in [
            ("ssl.key.password.", WORD),
            ("fetch.wait.max.ms", WORD),
            ("client.dns.lookup", WORD),
            ("enable.partition.eof", WORD),
            ("debug", WORD),
            ("ssl.engine.id", WORD),
        ] {
            let mut client = ClientConfig::new();
            client.set(key, value);
            let Some(error) = client.create::<BaseConsumer>().err() else { panic!("{key} is taken") };
            let error = option_error(&error, &options(&[(key, value)]));
            assert!(error.to_string().contains(key), "{error}");
            assert!(!format!("{error:?}").contains(WORD), "{error:?}");
        }
        let mut client = ClientConfig::new();
        client.set("fetch.wait.max.ms", "99999999");
        let error = option_error(&client.create::<BaseConsumer>().err().unwrap(), &options(&[])).to_string();
        assert!(error.contains("fetch.wait.max.ms") && error.contains("300000"), "{error}");
        assert!(!error.contains("99999999"), "{error}");
    }

    #[test]
    fn a_secret_in_a_text_of_others_is_taken_out() {
        let all = options(&[("sasl.password", WORD), ("ssl.key.password", "p"), ("client.id", "it")]);
        assert_eq!(without_secrets(&format!("it: {WORD}!"), &all), "it: …!");
    }

    #[test]
    fn a_refusal_is_told_once_and_without_the_place_in_librdkafka() {
        let listener = Listener::default();
        assert!(listener.take_refusal("b:1").is_none());
        let code = |code| KafkaError::Global(code);
        listener.hear(&code(RDKafkaErrorCode::AllBrokersDown), "2/2 brokers are down");
        assert!(listener.take_refusal("b:1").is_none());
        let reason = "sasl_ssl://b:1/bootstrap: SASL authentication error: invalid credentials (after 311ms in state AUTH_REQ)";
        listener.hear(&code(RDKafkaErrorCode::Authentication), reason);
        listener.hear(&code(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert!(listener.is_refused());
        let error = listener.take_refusal("b:1").unwrap();
        assert_eq!(error.kind(), ErrorKind::User);
        assert_eq!(
            error.to_string(),
            "the brokers at b:1 refuse the connection: SASL authentication error: invalid credentials"
        );
        assert!(error.next_step().unwrap().contains("sasl.password"));
        assert!(listener.take_refusal("b:1").is_none());
        // A broker that is just going away breaks off a handshake too.
        let broken_off =
            "b:1: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?";
        listener.hear(&code(RDKafkaErrorCode::BrokerTransportFailure), broken_off);
        assert!(!listener.is_refused());
        assert_eq!(listener.take_refusal("b:1").unwrap().kind(), ErrorKind::Source);
        let alert =
            "ssl://b:1/1: Receive failed: SSL routines::ssl/tls alert bad certificate: SSL alert number 42";
        listener.hear(&code(RDKafkaErrorCode::BrokerTransportFailure), alert);
        listener.hear(&code(RDKafkaErrorCode::BrokerTransportFailure), broken_off);
        assert!(listener.take_refusal("b:1").unwrap().to_string().contains("bad certificate"));
    }
}
