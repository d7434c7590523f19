//! The hold-out split of a lake: which rows no model trains on is decided with its first batch, and stays.
//!
//! | key and share of the model at the last commit | of the job's | whose word it is | |
//! | --- | --- | --- | --- |
//! | none: a new lake, or a new model | any | | the job's hold |
//! | any | nothing held out | | the job's hold |
//! | K, S | K, up to S | | the job's hold |
//! | K, S | K, more than S | | refused |
//! | K, S | L | the user's | refused |
//! | K, S | L | a built-in job's file's | the lake's K holds, which the log tells |
//!
//! Another key, or a larger share, holds out rows that a model which goes on from the one before has learned.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::project::{ModelSpec, StreamJob};
use crate::records::{Ledger, Plan, RecordList};

/// The job with the split that its lake has.
///
/// # Errors
/// User: a key that the user has changed; Storage or Corrupt: the newest plan.
pub(super) fn of_lake(job: &StreamJob, lake: &Lake) -> Result<StreamJob> {
    let checkpoint = lake.checkpoint(&job.schema_name);
    let plans: RecordList<Plan> = RecordList::read_only(checkpoint.join("offsets"));
    let newest = Ledger::of(lake, &job.schema_name)?.commits().checked_sub(1);
    let mut job = job.clone();
    // What a batch job has committed was never planned; whose the folder is, is told later.
    if let Some(newest) = newest.filter(|newest| plans.has(*newest)) {
        keep(&plans.read(newest)?.program.models, &mut job)?;
    }
    Ok(job)
}

/// The table above, for each model.
fn keep(last: &[ModelSpec], job: &mut StreamJob) -> Result<()> {
    let mut told: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    let is_of_state = job.program.state.is_some();
    for spec in &mut job.program.models {
        let name = &spec.config.name;
        let Some(before) = last.iter().find(|before| before.config.name == *name) else { continue };
        // Without a target models of a state are scored on a sample of it: nothing is held out.
        if is_of_state && (spec.config.label.is_none() || before.config.label.is_none()) {
            continue;
        }
        let (now, then) = (&mut spec.config.evaluate, &before.config.evaluate);
        if now.holdout == 0.0 {
            continue;
        }
        if now.holdout > then.holdout {
            return Err(changed(name, "holdout", now.holdout, then.holdout));
        }
        if now.holdout_key == then.holdout_key {
            continue;
        }
        let (new, kept) = (&now.holdout_key, &then.holdout_key);
        if !job.built_in_splits.contains(name) {
            return Err(changed(name, "holdout_key", new, kept));
        }
        told.entry((kept, new.clone())).or_default().push(name);
        now.holdout_key.clone_from(kept);
    }
    for ((kept, new), models) in told {
        tracing::warn!(
            ?models,
            "the lake keeps the hold-out key that it was begun with, {kept:?}; new lakes have {new:?}"
        );
    }
    Ok(())
}

fn changed<T: std::fmt::Debug>(model: &str, key: &str, now: T, then: T) -> Error {
    Error::user(format!("model `{model}`: evaluate.{key} is {now:?}, and the lake was begun with {then:?}")).hint(
        format!(
            "rows that the model has learned would be held out: write {key} = {then:?}, or stream into a new lake \
             (--lake DIR)"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::project::{Project, Settings};

    /// The built-in job with this key for each model, that of its file or the user's.
    fn job(built_in: bool, key: &[&str]) -> StreamJob {
        let project = Project::open(Path::new("/nonexistent"));
        let mut job = project.stream_job("chicago-arrests", &Settings::default()).unwrap();
        assert_eq!(job.built_in_splits.len(), 4);
        if !built_in {
            job.built_in_splits.clear();
        }
        for spec in &mut job.program.models {
            spec.config.evaluate.holdout_key = key.iter().map(|name| name.to_string()).collect();
        }
        job
    }

    #[test]
    fn the_key_of_the_lake_holds() {
        let lake = job(true, &["_offset"]).program.models;
        let refusal = "model `logistic`: evaluate.holdout_key is [\"block\"], and the lake was begun with [\"_offset\"]";
        for (last, built_in, key, expected) in [
            (&[][..], false, "block", Ok("block")),
            (&lake[..1], false, "_offset", Ok("_offset")),
            (&lake[..1], true, "block", Ok("block")), // the second model is new
            (&lake, false, "_offset", Ok("_offset")),
            (&lake, true, "block", Ok("_offset")),
            (&lake, false, "block", Err(refusal)),
        ] {
            let mut job = job(built_in, &[key]);
            let second = |job: &StreamJob| job.program.models[1].config.evaluate.holdout_key.join(" ");
            let found = keep(last, &mut job).map(|()| second(&job)).map_err(|e| e.to_string());
            assert_eq!(found, expected.map(String::from).map_err(String::from), "{built_in} {key}");
        }
        let error = keep(&lake, &mut job(false, &["block"])).unwrap_err();
        assert!(error.next_step().unwrap().contains("write holdout_key = [\"_offset\"]"), "{error:?}");
    }

    #[test]
    fn only_the_model_that_was_changed_is_refused() {
        let lake = job(true, &["_offset"]).program.models;
        let mut job = job(true, &["block"]);
        job.built_in_splits.remove("tree");
        let error = keep(&lake, &mut job).unwrap_err().to_string();
        assert!(error.starts_with("model `tree`"), "{error}");
    }

    #[test]
    fn a_larger_share_is_refused() {
        let lake = job(true, &["_offset"]).program.models;
        let with_share = |share: f64| {
            let mut job = job(true, &["_offset"]);
            job.program.models[0].config.evaluate.holdout = share;
            keep(&lake, &mut job)
        };
        assert!(with_share(0.0).is_ok() && with_share(0.2).is_ok() && with_share(0.3).is_ok());
        let error = with_share(0.4).unwrap_err().to_string();
        assert!(error.contains("evaluate.holdout is 0.4, and the lake was begun with 0.3"), "{error}");
    }
}
