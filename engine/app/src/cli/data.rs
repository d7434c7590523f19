//! Arguments of `tidemill data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `tidemill data`.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Generate rows with the shape of a real data set
    #[command(subcommand)]
    Generate(GenerateCommand),
}

/// `tidemill data generate`.
#[derive(Debug, Subcommand)]
pub(crate) enum GenerateCommand {
    /// Crimes in the form of Chicago's data portal; the same seed gives the same bytes
    #[command(after_help = "\
Examples:
  tidemill data generate chicago-crimes --rows 73597 --seed 1 --out crimes.csv
  tidemill produce chicago-arrests --input crimes.csv")]
    ChicagoCrimes(GenerateArgs),
    /// Orders in the nine files of Olist's data set; the same seed gives the same bytes
    #[command(after_help = "\
Examples:
  tidemill data generate olist --rows 5000 --seed 1 --out data/olist
  tidemill run olist")]
    Olist(GenerateFolderArgs),
    /// Invoice lines in the file of UCI's Online Retail; the same seed gives the same bytes
    #[command(after_help = "\
Examples:
  tidemill data generate online-retail --rows 50000 --seed 1 --out data/online_retail
  tidemill run online-retail")]
    OnlineRetail(GenerateFolderArgs),
}

/// `tidemill data generate olist` and `online-retail`.
#[derive(Debug, Args)]
pub(crate) struct GenerateFolderArgs {
    /// Orders (olist) or invoice lines (online-retail) to make
    #[arg(long, value_name = "N")]
    pub(crate) rows: u64,
    /// Seed of every random choice
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The folder for the files, made if absent; files of their names that are there are replaced
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// `tidemill data generate chicago-crimes`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Rows to make
    #[arg(long, value_name = "N")]
    pub(crate) rows: u64,
    /// Seed of every random choice
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The CSV to write, gzip if it ends in .gz, - for stdout; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}
