//! The engine from outside, in one binary (linking DataFusion is slow): crashes, `kill -9`, bad input, the command
//! line, and the figures on real rows where `TIDEMILL_DATA` points at them.
//!
//! Kafka is real: the embedded broker over TCP, librdkafka as the client; with `TIDEMILL_TEST_KAFKA=HOST:PORT` the
//! tests of Kafka's behaviour run against Apache Kafka too (tests/kafka/run.sh starts one and does so).

// clippy allows these in #[test] functions only; helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod brokers;
mod support;

mod apache_kafka;
mod asked;
mod bad_input;
mod bad_models;
mod bank;
mod batch;
mod batch_audits;
mod batch_changes;
mod batch_columns;
mod batch_csv;
mod batch_delta;
mod batch_files;
mod batch_formats;
mod batch_gate;
mod batch_layout;
mod batch_letters;
mod batch_memory;
mod batch_models;
mod batch_times;
mod batch_values;
mod batch_versions;
mod behind;
mod checksums;
mod cleaning;
mod clusters;
mod command_line;
mod compaction;
mod crash;
mod cut_anew;
mod damaged_parquet;
mod dead_letters;
mod delta;
mod export;
mod figures;
mod format1;
mod full_disk;
mod gate;
mod group_offsets;
mod job_names;
mod jobs;
mod kafka;
mod kafka_cut_off;
mod kafka_outage;
mod kafka_speed;
mod kill;
mod lake_files;
mod large_batches;
mod learning;
mod messages;
mod other_format;
mod poison;
mod predict;
mod reproduce;
mod restored;
mod rfm;
mod scores;
mod secrets;
mod security;
mod snapshots;
mod sql_answers;
mod sql_subqueries;
mod state_limits;
mod state_models;
mod tasks;
mod time_travel;
mod transform_changes;
mod unwritable_output;
