//! Progress bars on stderr. Where stderr is no terminal nothing is drawn; the line at the end of a stage always is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tidemill_core::batch::Progress;

use crate::notes::note;
use crate::style;

/// One stage of work that counts rows.
pub(crate) struct Bar {
    bar: ProgressBar,
    start: Instant,
}

impl Bar {
    /// A bar for `total` rows, or for as many as come, with what is done before it.
    pub(crate) fn rows(what: &'static str, total: Option<u64>) -> Bar {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let colors = if style::stderr_color() { ".cyan/dim" } else { "" };
        let template = match total {
            Some(_) => format!(
                "{{prefix:<8}} {{bar:24{colors}}} {{human_pos}} of {{human_len}} rows  {{elapsed}}  {{wide_msg}}"
            ),
            None => "{prefix:<8} {spinner} {human_pos} rows  {per_sec}  {elapsed}  {wide_msg}".to_string(),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(if total.is_some() { style.progress_chars("━╸─") } else { style });
        }
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Bar { bar, start: Instant::now() }
    }

    /// Rows done so far.
    pub(crate) fn set(&self, rows: u64) {
        self.bar.set_position(rows);
    }

    /// What is going on, beside the bar.
    pub(crate) fn say(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }

    /// Replaces the bar by a line with the time that the stage took.
    pub(crate) fn finish(self, line: &str) {
        self.bar.finish_and_clear();
        note(format_args!("{line} in {}", style::duration_ms(style::elapsed_ms(self.start))));
    }
}

impl Drop for Bar {
    /// An error that is printed next starts on a line of its own.
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}

/// Bars of tables that are built at the same time: how much of the files is read, rows and megabytes a second.
pub(crate) struct TableBars {
    bars: MultiProgress,
    running: Mutex<BTreeMap<String, ProgressBar>>,
}

impl TableBars {
    /// No bar yet.
    pub(crate) fn new() -> TableBars {
        TableBars { bars: MultiProgress::new(), running: Mutex::default() }
    }

    /// A bar for a table, drawn from what `progress` says.
    pub(crate) fn start(&self, table: &str, progress: Arc<Progress>) {
        let bar = self.bars.add(ProgressBar::new_spinner());
        let share = progress.clone();
        let style = ProgressStyle::with_template("{prefix:<20} {share}  {elapsed}").map(|style| {
            style.with_key("share", move |state: &ProgressState, out: &mut dyn Write| {
                // What cannot be drawn is not worth an error.
                let _ = out.write_str(&table_bar(&share, state.elapsed()));
            })
        });
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(table.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), bar);
    }

    /// Replaces the bar of a table by a line.
    pub(crate) fn finish(&self, table: &str, line: &str) {
        if let Some(bar) = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(table) {
            bar.finish_and_clear();
        }
        self.say(line);
    }

    /// A line above the bars. (`MultiProgress::suspend` would panic where the terminal has gone.)
    pub(crate) fn say(&self, line: &str) {
        match self.bars.is_hidden() {
            true => note(line),
            false => drop(self.bars.println(line)),
        }
    }
}

/// `━━━━━━╸─────────────────  1,234,567 rows  85 MB/s`.
fn table_bar(progress: &Progress, elapsed: Duration) -> String {
    const WIDTH: u64 = 24;
    let bytes = progress.bytes.load(Ordering::Relaxed);
    let total = progress.total_bytes.load(Ordering::Relaxed);
    let done = (bytes * WIDTH).checked_div(total).unwrap_or(0).min(WIDTH);
    let rows = progress.rows.load(Ordering::Relaxed).max(progress.rows_out.load(Ordering::Relaxed));
    let speed = bytes as f64 / 1e6 / elapsed.as_secs_f64().max(1e-3);
    let mut bar = "━".repeat(done as usize);
    if done < WIDTH {
        bar.push('╸');
        bar.push_str(&"─".repeat((WIDTH - done - 1) as usize));
    }
    format!("{bar}  {}  {speed:.0} MB/s", style::rows(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_bar_shows_how_much_is_read_and_how_fast() {
        let progress = Progress::default();
        let drawn = |progress: &Progress| table_bar(progress, Duration::from_secs(2));
        assert_eq!(drawn(&progress), format!("╸{}  0 rows  0 MB/s", "─".repeat(23)));
        progress.total_bytes.store(40_000_000, Ordering::Relaxed);
        progress.bytes.store(20_000_000, Ordering::Relaxed);
        progress.rows.store(1_234, Ordering::Relaxed);
        assert_eq!(drawn(&progress), format!("{}╸{}  1,234 rows  10 MB/s", "━".repeat(12), "─".repeat(11)));
        // What was read twice is no more than all.
        progress.bytes.store(80_000_000, Ordering::Relaxed);
        assert_eq!(drawn(&progress), format!("{}  1,234 rows  40 MB/s", "━".repeat(24)));
    }
}
