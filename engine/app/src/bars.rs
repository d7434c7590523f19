//! Progress bars on stderr. Where stderr is no terminal nothing is drawn; the line at the end of a stage always is.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
        eprintln!("{line} in {}", style::duration_ms(style::elapsed_ms(self.start)));
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
