//! The engine from outside, in one binary (linking DataFusion is slow): crashes, `kill -9`, bad input, the command
//! line, and the figures on real rows where `TIDEMILL_DATA` points at them.
//!
//! Kafka is real: the embedded broker over TCP, librdkafka as the client.

// clippy allows these in #[test] functions only; helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

mod bad_input;
mod cleaning;
mod command_line;
mod crash;
mod dead_letters;
mod figures;
mod kafka;
mod kill;
mod scores;
