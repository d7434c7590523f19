//! Brokers that are away: waited for, with a line that says so, for as long as the job says.
//!
//! ```text
//! question ──answer──────────────────────────────> goes on
//!    ▲  └───no answer, or one that may pass──┐
//!    └──────pause: .1 s, doubled to 2 s──────┤ lines after 2 s, 4 s, 8 s, …
//!                                            ├ source.kafka.broker_timeout is over ──> the error
//!                                            └ asked to stop ──> the error, at once
//! ```
//!
//! A question is asked on a thread of its own: librdkafka gives up on one only when its time is over, and a stream that
//! is asked to stop meanwhile does not wait for that.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Longest wait for one answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// A stream that is asked to stop still waits this long for an answer: its batch can then be finished.
pub(super) const GRACE: Duration = Duration::from_millis(500);
/// How often a wait looks whether it is asked to stop.
const LOOK: Duration = Duration::from_millis(25);
/// After this long without an answer it is said; then after twice as long, and so on.
const FIRST_LINE: Duration = Duration::from_secs(2);
/// Pauses between questions.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Longest wait for a connection when a job starts for the first time.
const CONNECT: Duration = Duration::from_secs(3);

/// How long brokers that do not answer are waited for, and what ends the wait before.
#[derive(Debug, Default)]
pub struct Patience {
    timeout: Duration,
    stop: Arc<AtomicBool>,
    /// Waited since it was last asked for, milliseconds.
    waited_ms: AtomicU64,
    /// A question had to be asked again since it was last asked for.
    asked_again: AtomicBool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// An answer that no waiting changes, or none in the time that there is.
    Failed(KafkaError),
    /// The stream was asked to stop.
    Stopped,
}

impl Patience {
    /// Waits for at most `timeout` (at least as long as one answer may take), and not once `stop` is set.
    pub fn new(timeout: Duration, stop: Arc<AtomicBool>) -> Patience {
        Patience { timeout, stop, ..Patience::default() }
    }

    /// From now on waits for at most this long.
    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Whether the stream was asked to stop.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Milliseconds waited for brokers since the last call.
    pub(super) fn take_waited_ms(&self) -> u64 {
        self.waited_ms.swap(0, Ordering::Relaxed)
    }

    /// Whether a question had to be asked again since the last call.
    pub(super) fn take_asked_again(&self) -> bool {
        self.asked_again.swap(false, Ordering::Relaxed)
    }

    /// Asks until there is an answer. `lacks` says what is wrong with these servers, for the lines on stderr.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        servers: &str,
        lacks: &dyn Fn(&KafkaError) -> String,
        question: impl Fn() -> Result<T, KafkaError> + Send + Sync + 'static,
    ) -> Result<T, Unanswered> {
        let mut outage = Outage {
            patience: self,
            servers,
            lacks,
            since: Instant::now(),
            next_line: FIRST_LINE,
            last: KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut),
        };
        let question = Arc::new(question);
        let mut pause = PAUSES.0;
        let answer = loop {
            match outage.answer(Arc::clone(&question))? {
                Ok(answer) => break answer,
                Err(error) if !may_pass(&error) => return Err(Unanswered::Failed(error)),
                Err(error) => outage.last = error,
            }
            self.asked_again.store(true, Ordering::Relaxed);
            outage.pause(pause)?;
            pause = (pause * 2).min(PAUSES.1);
        };
        outage.end();
        Ok(answer)
    }
}

/// A wait in progress.
struct Outage<'a> {
    patience: &'a Patience,
    servers: &'a str,
    lacks: &'a dyn Fn(&KafkaError) -> String,
    since: Instant,
    next_line: Duration,
    last: KafkaError,
}

impl Outage<'_> {
    /// The answer to one question.
    fn answer<T: Send + 'static>(
        &mut self,
        question: Arc<impl Fn() -> Result<T, KafkaError> + Send + Sync + 'static>,
    ) -> Result<Result<T, KafkaError>, Unanswered> {
        let (sender, receiver) = channel();
        // Nobody listens any more where the wait was given up.
        std::thread::spawn(move || drop(sender.send(question())));
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) => self.look()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Unanswered::Failed(KafkaError::Canceled));
                }
            }
        }
    }

    fn pause(&mut self, pause: Duration) -> Result<(), Unanswered> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            self.look()?;
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Ends the wait where it is time, and says how long it has been.
    fn look(&mut self) -> Result<(), Unanswered> {
        let away = self.since.elapsed();
        let limit = self.patience.timeout.max(ANSWER);
        if self.patience.stopped() && away >= GRACE {
            return Err(Unanswered::Stopped);
        }
        if away >= limit {
            return Err(Unanswered::Failed(self.last.clone()));
        }
        // Where there is no time to wait for more than an answer, the error says it.
        if away >= self.next_line && limit > ANSWER {
            self.next_line *= 2;
            tracing::warn!(
                "{} for {} s: waiting, {} at most ({})",
                (self.lacks)(&self.last),
                away.as_secs(),
                humantime::format_duration(limit),
                self.last
            );
        }
        Ok(())
    }

    fn end(&self) {
        let away = self.since.elapsed();
        if away >= FIRST_LINE {
            let ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
            self.patience.waited_ms.fetch_add(ms, Ordering::Relaxed);
            tracing::warn!("the brokers at {} serve again after {} s", self.servers, away.as_secs());
        }
    }
}

/// Whether the same question may be answered later: brokers that start, elect a leader or cannot be reached. A partition that
/// librdkafka does not know is one that a broker has just told of and that has no leader yet: Apache Kafka that stood still for
/// half a minute serves again like that (confluentinc/librdkafka#3295).
pub(super) fn may_pass(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        error.rdkafka_error_code(),
        Some(
            C::AllBrokersDown
                | C::BrokerNotAvailable
                | C::BrokerTransportFailure
                | C::FencedLeaderEpoch
                | C::KafkaStorageError
                | C::LeaderNotAvailable
                | C::NetworkException
                | C::NotLeaderForPartition
                | C::OffsetNotAvailable
                | C::OperationTimedOut
                | C::PreferredLeaderNotAvailable
                | C::ReplicaNotAvailable
                | C::RequestTimedOut
                | C::Resolve
                | C::UnknownLeaderEpoch
                | C::UnknownPartition
        )
    )
}

/// Whether an error is what a broker has answered: it is there, and cannot serve what was asked for now.
pub(super) fn is_answer(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        error.rdkafka_error_code(),
        Some(
            C::BrokerNotAvailable
                | C::FencedLeaderEpoch
                | C::KafkaStorageError
                | C::LeaderNotAvailable
                | C::NotLeaderForPartition
                | C::OffsetNotAvailable
                | C::PreferredLeaderNotAvailable
                | C::ReplicaNotAvailable
                | C::RequestTimedOut
                | C::UnknownLeaderEpoch
                | C::UnknownPartition
        )
    )
}

/// Why no connection to any of these servers can be made, or nothing where one can.
///
/// librdkafka says of a wrong address what it says of a broker that is slow, and only when its time is over.
pub(super) fn refused(servers: &str) -> Option<String> {
    let mut reasons = Vec::new();
    for server in servers.split(',').map(str::trim).filter(|server| !server.is_empty()) {
        // `SSL://host:port` is a form of librdkafka's too; without a port it takes Kafka's own.
        let address = server.rsplit_once("://").map_or(server, |(_, address)| address);
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { address.to_owned() } else { format!("{address}:9092") };
        // `localhost` may be ::1 first where the broker listens on 127.0.0.1: every address is tried.
        let mut reason = "it has no address".to_owned();
        match address.to_socket_addrs() {
            Err(error) => reason = error.to_string(),
            Ok(addresses) => {
                for at in addresses {
                    match TcpStream::connect_timeout(&at, CONNECT) {
                        Ok(_) => return None,
                        Err(error) => reason = error.to_string(),
                    }
                }
            }
        }
        reasons.push(format!("{server}: {reason}"));
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn away() -> KafkaError {
        KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure)
    }

    #[test]
    fn an_answer_that_comes_later_is_waited_for() {
        let tries = AtomicU64::new(0);
        let patience = Patience::new(Duration::from_secs(60), Arc::default());
        let question = move || match tries.fetch_add(1, Ordering::Relaxed) {
            0..=3 => Err(away()),
            tries => Ok(tries),
        };
        // Pauses of .1, .2, .4 and .8 s.
        let started = Instant::now();
        assert_eq!(patience.ask("there:1", &|_| String::new(), question).unwrap(), 4);
        assert!(started.elapsed() >= Duration::from_millis(1500));
    }

    #[test]
    fn a_wait_ends_when_the_stream_is_asked_to_stop_also_while_a_question_is_out() {
        let stop = Arc::new(AtomicBool::new(false));
        let patience = Patience::new(Duration::from_secs(600), Arc::clone(&stop));
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(700));
            stop.store(true, Ordering::Relaxed);
        });
        let started = Instant::now();
        let answer: Result<(), Unanswered> = patience.ask("there:1", &|_| String::new(), || {
            std::thread::sleep(Duration::from_secs(8));
            Err(away())
        });
        assert!(matches!(answer, Err(Unanswered::Stopped)), "{answer:?}");
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }

    #[test]
    fn what_no_waiting_changes_is_told_at_once() {
        let patience = Patience::new(Duration::from_secs(600), Arc::default());
        let started = Instant::now();
        let answer: Result<(), Unanswered> = patience.ask("there:1", &|_| String::new(), || {
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed))
        });
        assert!(matches!(answer, Err(Unanswered::Failed(_))), "{answer:?}");
        assert!(started.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn an_address_where_nobody_listens_is_known_before_anything_is_asked() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = open.local_addr().unwrap().to_string();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert_eq!(refused(&there), None);
        assert_eq!(refused(&format!("{closed}, SASL_SSL://{there}")), None);
        assert!(refused(&closed).unwrap().starts_with(&format!("{closed}: ")));
        assert!(refused("no-such-host.invalid:9092").unwrap().contains("no-such-host.invalid:9092: "));
    }
}
