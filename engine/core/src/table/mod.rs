//! Parquet tables: how a batch becomes one file, how files become visible, and how they are found again.

pub(crate) mod became;
pub(crate) mod compact;
pub(crate) mod evolve;
pub(crate) mod partitioned;
pub mod publish;
pub mod read;
pub(crate) mod rowless;
pub(crate) mod scan;
pub(crate) mod versioned;
pub mod write;
