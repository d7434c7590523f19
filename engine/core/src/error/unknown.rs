//! Names that nothing has, and the one that may have been meant.

use super::Error;

impl Error {
    /// There is no such thing: `what` is its kind (`job`, `column`), `known` are the names that there are.
    ///
    /// ```
    /// # use tidemill_core::Error;
    /// let error = Error::unknown("job", "olst", &["chicago-arrests", "olist"]);
    /// assert_eq!(error.to_string(), "there is no job `olst`");
    /// assert_eq!(error.next_step(), Some("did you mean `olist`? The jobs are: chicago-arrests, olist"));
    /// ```
    pub fn unknown(what: &str, name: &str, known: &[impl AsRef<str>]) -> Error {
        Error::user(format!("there is no {what} `{name}`")).hint(suggestion(name, &format!("{what}s"), known))
    }
}

/// What may have been meant by a name, and all names that there are; `what` is what they are, `jobs` say.
pub(crate) fn suggestion(name: &str, what: &str, known: &[impl AsRef<str>]) -> String {
    let names = || known.iter().map(AsRef::as_ref);
    let all = names().collect::<Vec<_>>().join(", ");
    match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`? The {what} are: {all}"),
        None if known.is_empty() => format!("there are no {what}"),
        None => format!("the {what} are: {all}"),
    }
}

/// The candidate that is most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_nothing_is_answered_with_all() {
        assert_eq!(suggestion("x", "jobs", &["olist"]), "the jobs are: olist");
        assert_eq!(suggestion("x", "jobs", &[""; 0]), "there are no jobs");
    }
}
