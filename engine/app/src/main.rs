//! `tidemill`: the one binary. It reads a command line, calls the engine and prints.
//!
//! ```text
//! cli (what was asked) ──> commands::* (call the engine) ──> output, report, bars ──> exit (code)
//! ```
//!
//! Data goes to stdout; logs, bars and notes to stderr. No decision of the engine is taken here.

// Where stderr cannot be written, `eprintln!` panics: `notes` has what does not.
#![deny(clippy::print_stderr)]

mod bars;
mod cli;
mod commands;
mod compare;
mod demo_folder;
mod exit;
mod generate;
mod invocation;
mod notes;
mod output;
mod plot;
mod produce;
mod prompt;
mod report;
mod series;
mod signals;
mod statements;
mod style;
mod table;
mod visible;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    take_few_addresses();
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(told) => return exit::tell(&told),
    };
    style::set_color(!cli.global.no_color);
    init_logs(cli.global.verbose);
    if let Some(bytes) = cli.global.memory_limit {
        tidemill_core::memory::give(bytes);
    }
    exit::finish(commands::run(&cli))
}

/// Where the address space is small (`ulimit -v`), begins again with two of glibc's arenas: each takes 64 MB of it, used or
/// not, and by default there are eight for each core.
#[cfg(target_os = "linux")]
fn take_few_addresses() {
    const SMALL: u64 = 8 << 30;
    const ARENAS: &str = "MALLOC_ARENA_MAX";
    if tidemill_core::memory::address_space().is_some_and(|bytes| bytes < SMALL)
        && std::env::var_os(ARENAS).is_none()
        && let Ok(this) = std::env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        // It comes back only where it has failed: then all is as it was.
        let _ = std::process::Command::new(this).args(std::env::args_os().skip(1)).env(ARENAS, "2").exec();
    }
}

/// Logs go to stderr: warnings, with `-v` what the engine does, with `-vv` its details too. `RUST_LOG` overrides.
/// librdkafka is heard with `-v` only: it repeats by the hundred what the engine's own errors say once.
fn init_logs(verbose: u8) {
    let default = match verbose {
        0 => "warn,librdkafka=off,rdkafka=off",
        1 => "warn,tidemill=info,tidemill_core=info,tidemill_broker=info,tidemill_ml=info",
        _ => "info,tidemill=debug,tidemill_core=debug,tidemill_broker=debug,tidemill_ml=debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // Fails only where a subscriber is set already, and then logs go there.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| notes::Lossy)
        // A line that cannot be written is not told of in another one.
        .log_internal_errors(false)
        .with_ansi(style::stderr_color())
        .with_target(verbose > 1)
        .try_init();
}
