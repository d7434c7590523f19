//! Colour and numbers for people. Colour only on a terminal, never with `--no-color` or `NO_COLOR`.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

static ALLOWED: AtomicBool = AtomicBool::new(true);

/// Called once at the start: `false` forbids colour. `NO_COLOR` (any value that is not empty) forbids it too.
pub(crate) fn set_color(allowed: bool) {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    ALLOWED.store(allowed && !forbidden, Ordering::Relaxed);
}

/// Whether what is written to stderr may be coloured.
pub(crate) fn stderr_color() -> bool {
    ALLOWED.load(Ordering::Relaxed) && std::io::stderr().is_terminal()
}

/// Whether what is written to stdout may be coloured.
pub(crate) fn stdout_color() -> bool {
    ALLOWED.load(Ordering::Relaxed) && std::io::stdout().is_terminal()
}

/// The text in bold where colour is on.
pub(crate) fn bold(text: &str, color: bool) -> String {
    if color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
}

/// The text in bold red where colour is on.
pub(crate) fn red(text: &str, color: bool) -> String {
    if color { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_string() }
}

/// A count with thousands separated: `60,000`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub(crate) fn rows(n: u64) -> String {
    format!("{} {}", count(n), if n == 1 { "row" } else { "rows" })
}

/// A time as people read it: `37 ms`, `1.42 s`, `2 min 05 s`.
pub(crate) fn duration_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10),
        _ => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// A folder as it is shown: one relative to here begins with `./`.
pub(crate) fn folder(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    if path.is_relative() && !text.starts_with('.') { format!("./{text}") } else { text }
}

/// Milliseconds since `start`.
pub(crate) fn elapsed_ms(start: std::time::Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_separate_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(rows(1), "1 row");
        assert_eq!(rows(0), "0 rows");
    }

    #[test]
    fn a_folder_is_not_taken_for_a_word() {
        let shown = |text: &str| folder(std::path::Path::new(text));
        assert_eq!(
            [shown("lake"), shown("./lake"), shown("/lake"), shown("../lake")],
            ["./lake", "./lake", "/lake", "../lake"]
        );
    }

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration_ms(999), "999 ms");
        assert_eq!(duration_ms(1_429), "1.42 s");
        assert_eq!(duration_ms(125_000), "2 min 05 s");
    }
}
