//! How fast rows are sent: `120/s`, `10/min`, `max`.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidemill_core::Error;

/// Rows a unit of time, or as fast as the broker takes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    /// No limit.
    Max,
    /// One row each interval.
    Every(Duration),
}

/// Longest sleep before the stop flag is looked at again.
const NAP: Duration = Duration::from_millis(100);

impl FromStr for Rate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Rate, Error> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("max") {
            return Ok(Rate::Max);
        }
        let parsed = text.split_once('/').and_then(|(count, unit)| {
            let seconds = match unit.trim() {
                "s" | "sec" | "second" => 1.0,
                "m" | "min" | "minute" => 60.0,
                "h" | "hour" => 3600.0,
                _ => return None,
            };
            let count: f64 = count.trim().parse().ok()?;
            // A day for one row and a row each nanosecond are beyond anybody's wish.
            let interval = Duration::try_from_secs_f64(seconds / count).ok()?;
            (count.is_finite() && !interval.is_zero() && interval.as_secs() <= 86_400).then_some(interval)
        });
        parsed
            .map(Rate::Every)
            .ok_or_else(|| Error::user(format!("`{text}` is no rate: write 120/s, 10/min or max")))
    }
}

impl Rate {
    /// Returns when row number `row` (from 0) is due, or when `stop` is set. The schedule counts from `start`, so that a
    /// late row does not make all later ones late.
    pub(crate) async fn wait(self, start: Instant, row: u64, stop: &AtomicBool) {
        let Rate::Every(interval) = self else { return };
        let due = start + interval.mul_f64(row as f64);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || stop.load(Ordering::Acquire) {
                return;
            }
            tokio::time::sleep(left.min(NAP)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_as_people_write_them() {
        for (text, interval_us) in [
            ("1/s", 1_000_000),
            ("120/s", 8_333),
            ("10/min", 6_000_000),
            (" 0.5 / s ", 2_000_000),
            ("60/h", 60_000_000),
            ("1000000/s", 1),
        ] {
            let Rate::Every(interval) = text.parse().unwrap() else { panic!("{text}") };
            assert_eq!(interval.as_micros(), interval_us, "{text}");
        }
        assert_eq!("MAX".parse::<Rate>().unwrap(), Rate::Max);
    }

    #[test]
    fn what_is_no_rate_is_refused_with_examples() {
        for text in [
            "",
            "fast",
            "10",
            "10/",
            "/s",
            "0/s",
            "-1/s",
            "nan/s",
            "inf/s",
            "1/day",
            "1e300/s",
            "1e-300/s",
            "10 rows/s",
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.to_string().contains("120/s"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_set_stop_flag_ends_the_wait() {
        let stop = AtomicBool::new(true);
        // A day's wait: the test would hang if the flag were not looked at.
        Rate::Every(Duration::from_secs(86_400)).wait(Instant::now(), 1, &stop).await;
    }
}
