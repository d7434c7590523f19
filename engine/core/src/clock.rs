//! The clock of the machine, before anything asks it.

use std::time::SystemTime;

use crate::error::{Error, Result};

/// Refuses a clock that is before 1970: the libraries that count time from there panic.
///
/// # Errors
/// User: it is.
pub fn check(now: SystemTime) -> Result<()> {
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(_) => Ok(()),
        Err(before) => Err(Error::user(format!(
            "the clock of this machine is {} days before 1970",
            before.duration().as_secs().div_ceil(86_400)
        ))
        .hint("set it: date --set, or a time service; batches and versions are dated by it")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_is_refused() {
        assert!(check(SystemTime::now()).is_ok());
        assert!(check(SystemTime::UNIX_EPOCH).is_ok());
        let error = check(SystemTime::UNIX_EPOCH - Duration::from_secs(86_401)).unwrap_err();
        assert!(error.to_string().contains("2 days before 1970"), "{error}");
        assert!(check(SystemTime::UNIX_EPOCH - Duration::from_nanos(1)).is_err());
    }
}
