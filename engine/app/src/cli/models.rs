//! Arguments of `tidemill models` and `tidemill predict`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::OutputArgs;

/// `tidemill models`.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// The models in use, of one job or of all
    #[command(after_help = "\
Examples:
  tidemill models list
  tidemill models list chicago-arrests --format json")]
    List {
        /// The job, as its file in jobs/ is named; without one, all of the lake
        job: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// All that is known of one version: settings, what it was trained on, scores, file
    #[command(after_help = "\
Examples:
  tidemill models show chicago-arrests forest
  tidemill models show chicago-arrests forest@3
  tidemill models show chicago-arrests forest@batch:40")]
    Show {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The model: NAME (the one in use), NAME@VERSION, NAME@batch:N (the one in use after batch N)
        model: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// The versions of a model, oldest first, with their scores
    #[command(after_help = "\
Examples:
  tidemill models history chicago-arrests forest")]
    History {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The model
        model: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Put a version in use and keep it there: what is trained later is the challenger, until `unpin`
    #[command(after_help = "\
A running driver takes it up at its next batch; predict asks it at once.

Examples:
  tidemill models promote chicago-arrests forest@3
  tidemill models promote chicago-arrests forest@challenger")]
    Promote {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The version: NAME@VERSION, NAME@challenger
        model: String,
    },
    /// Let what is trained next be in use again
    Unpin {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The model
        model: String,
    },
    /// Put the version in use that was before the present one, and keep it there; again: the one before that
    Rollback {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The model
        model: String,
    },
    /// Give a version a name of your own, by which it can be asked: NAME@live
    #[command(after_help = "\
The version that had the name has it no more. Its file is kept as long as it has one.

Examples:
  tidemill models alias chicago-arrests forest@3 live
  tidemill models alias chicago-arrests forest live --remove")]
    Alias {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The version: NAME (the one in use), NAME@VERSION
        model: String,
        /// The name
        alias: String,
        /// Take the name away
        #[arg(long)]
        remove: bool,
    },
    /// Note something about a version; its file is kept
    Tag {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The version: NAME (the one in use), NAME@VERSION
        model: String,
        /// What is noted
        tag: String,
    },
    /// Remove the file of a version that nobody names; what is known of it stays
    #[command(after_help = "\
Versions in use, the challenger and those with an alias or a tag stay.

Examples:
  tidemill models archive chicago-arrests forest@3")]
    Archive {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The version: NAME@VERSION
        model: String,
    },
    /// Train a version again from what is recorded: are the bytes the same?
    #[command(after_help = "\
From the rows of all batches up to it. A model that goes on from the one before is
learned from its first version on. The same bytes are promised of one version of
Tidemill on one kind of processor.

Examples:
  tidemill models reproduce chicago-arrests forest@3
  tidemill models reproduce chicago-arrests forest@3 --restore")]
    Reproduce {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The version: NAME (the one in use), NAME@VERSION
        model: String,
        /// Put its file back, where it is gone or damaged and the bytes are the same; it then stays until it is archived
        #[arg(long)]
        restore: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Write a version as a file that onnxruntime scores rows by
    Export(ExportArgs),
    /// Two versions, of one model or of two, beside each other
    #[command(after_help = "\
Examples:
  tidemill models compare chicago-arrests forest@3 forest
  tidemill models compare chicago-arrests forest logistic")]
    Compare {
        /// The job, as its file in jobs/ is named
        job: String,
        /// The one
        first: String,
        /// The other
        second: String,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `tidemill models export`.
#[derive(Debug, Args)]
#[command(after_help = "\
A number is an input of doubles, a text one of strings, each rows x 1 and named as the feature; a missing number is NaN, a
missing text the empty one. The outputs are label and probabilities, variable, or label and scores. Trees take
onnxruntime 1.21 or newer.

Examples:
  tidemill models export chicago-arrests forest --output forest.onnx
  tidemill models export chicago-arrests forest@3 --format onnx --output forest.onnx")]
pub(crate) struct ExportArgs {
    /// The job, as its file in jobs/ is named
    pub(crate) job: String,
    /// The version: NAME (the one in use), NAME@VERSION, NAME@ALIAS
    pub(crate) model: String,
    /// Of which form
    #[arg(long, value_enum, default_value = "onnx")]
    pub(crate) format: ExportFormat,
    /// The file that is written; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// The form of a model's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// ONNX, with ai.onnx.ml 5.
    Onnx,
}

/// `tidemill predict`.
#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// The job, as its file in jobs/ is named
    pub(crate) job: String,
    /// The model: NAME (the one in use), NAME@VERSION, NAME@batch:N (the one in use after batch N)
    pub(crate) model: String,
    /// Rows: a CSV, JSON lines or Parquet file, a glob of them, or `-` for stdin
    #[arg(long, value_name = "FILE|-")]
    pub(crate) input: PathBuf,
    /// What stdin is
    #[arg(long, value_enum, default_value = "csv")]
    pub(crate) input_format: InputFormat,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What stdin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// CSV with a heading.
    Csv,
    /// One object a line.
    NdJson,
    /// Parquet.
    Parquet,
}

impl InputFormat {
    /// The ending of the name of such a file.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            InputFormat::Csv => "csv",
            InputFormat::NdJson => "ndjson",
            InputFormat::Parquet => "parquet",
        }
    }
}
