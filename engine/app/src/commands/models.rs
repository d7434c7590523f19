//! `tidemill models`: which models a lake has, and what is known of each.

mod reproduce;

use arrow::array::RecordBatch;
use tidemill_core::lake::Lake;
use tidemill_core::project::Settings;
use tidemill_core::registry::{CHAMPION, Entry, ModelRef, Registry, shown};
use tidemill_core::{Error, batch, learn, memory};

use super::{environment, lake, project};
use crate::cli::{GlobalArgs, ModelsCommand, OutputArgs};
use crate::exit::{Done, Outcome};
use crate::notes::note;
use crate::output::{Room, write_rows};

/// Prints rows.
pub(crate) async fn run(global: &GlobalArgs, command: &ModelsCommand) -> Done {
    let lake = lake(global);
    match command {
        ModelsCommand::List { job, output } => list(&lake, job.as_deref(), output),
        ModelsCommand::Show { job, model, output } => {
            let (registry, entry) = find(&lake, job, model)?;
            print(&shown::details(&registry, &entry)?, output)
        }
        ModelsCommand::History { job, model, output } => {
            let registry = Registry::open(&lake, job)?;
            let entries: Vec<_> =
                registry.history(model)?.into_iter().map(|entry| (&registry, entry)).collect();
            print(&shown::rows(&entries)?, output)
        }
        ModelsCommand::Promote { job, model } => {
            let (registry, entry) = find(&lake, job, model)?;
            registry.set(&entry, CHAMPION, "promote")?;
            in_use(&entry)
        }
        ModelsCommand::Unpin { job, model } => {
            Registry::open(&lake, job)?.unset(model, CHAMPION)?;
            note(format_args!("{model}: what is trained next is in use"));
            Ok(Outcome::Done)
        }
        ModelsCommand::Rollback { job, model } => in_use(&Registry::open(&lake, job)?.roll_back(model)?),
        ModelsCommand::Alias { job, model, alias, remove: true } => {
            Registry::open(&lake, job)?.unset(model, alias)?;
            note(format_args!("{model}: no version is called {alias} any more"));
            Ok(Outcome::Done)
        }
        ModelsCommand::Alias { job, model, alias, .. } => {
            let (registry, entry) = find(&lake, job, model)?;
            registry.set(&entry, alias, "alias")?;
            note(format_args!(
                "{} version {} is {}@{alias}",
                entry.outcome.name, entry.version, entry.outcome.name
            ));
            Ok(Outcome::Done)
        }
        ModelsCommand::Tag { job, model, tag } => {
            let (registry, entry) = find(&lake, job, model)?;
            registry.tag(&entry, tag)?;
            note(format_args!("{} version {}: {tag}", entry.outcome.name, entry.version));
            Ok(Outcome::Done)
        }
        ModelsCommand::Archive { job, model } => {
            let (registry, entry) = find(&lake, job, model)?;
            registry.archive(&entry)?;
            let (name, version, bytes) = (&entry.outcome.name, entry.version, entry.file.bytes);
            note(format_args!("{name} version {version} is archived: {bytes} bytes. To have it back:"));
            note(format_args!("  {}", reproduce::command(&entry)));
            if registry.is_batch() {
                note(format_args!(
                    "  as long as the versions of the tables that it was trained on are there"
                ));
            }
            Ok(Outcome::Done)
        }
        ModelsCommand::Reproduce { job, model, restore, output } => {
            let (registry, entry) = find(&lake, job, model)?;
            let found = match registry.is_batch() {
                true => {
                    let settings = Settings { sets: Vec::new(), environment: environment() };
                    let job = project(global).batch_job(job, &settings)?;
                    let limit = memory::given().unwrap_or_else(memory::limit);
                    batch::reproduce(&lake, &job, &entry, Some(limit)).await?
                }
                false => learn::reproduce(&lake, &registry, &entry).await?,
            };
            reproduce::run(&registry, &entry, &found, *restore, output)
        }
        ModelsCommand::Export(args) => super::export::run(global, args).await,
        ModelsCommand::Compare { job, first, second, output } => {
            let (registry, one) = find(&lake, job, first)?;
            let (_, other) = find(&lake, job, second)?;
            print(&shown::rows(&[(&registry, one), (&registry, other)])?, output)
        }
    }
}

/// Says that a version is in use.
fn in_use(entry: &Entry) -> Done {
    let (name, version) = (&entry.outcome.name, entry.version);
    note(format_args!(
        "{name} version {version} is in use; a running driver takes it up at its next batch. Later ones are challengers until"
    ));
    note(format_args!("  tidemill models unpin {} {name}", entry.job.replace('_', "-")));
    Ok(Outcome::Done)
}

/// One version of a job's model.
fn find(lake: &Lake, job: &str, model: &str) -> Result<(Registry, Entry), Error> {
    let registry = Registry::open(lake, job)?;
    let ModelRef { model, at, .. } = ModelRef::of_job(job, model)?;
    let entry = registry.find(&model, &at)?;
    Ok((registry, entry))
}

fn list(lake: &Lake, job: Option<&str>, output: &OutputArgs) -> Done {
    let jobs = match job {
        Some(job) => vec![job.to_owned()],
        None => lake.schema_names()?,
    };
    let registries = jobs.iter().map(|job| Registry::open(lake, job)).collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::new();
    for registry in &registries {
        for outcome in registry.newest()?.iter().filter(|outcome| outcome.version.is_some()) {
            entries.push((registry, registry.find(&outcome.name, &Default::default())?));
        }
    }
    if !entries.is_empty() {
        return print(&shown::rows(&entries)?, output);
    }
    Err(Error::user(match job {
        Some(job) => format!("job {job} has no trained model in this lake"),
        None => "no job of this lake has a trained model".to_owned(),
    })
    .hint("a job has models by [[models]]: see jobs/chicago-arrests.toml, and `tidemill demo`")
    .into())
}

fn print(rows: &RecordBatch, output: &OutputArgs) -> Done {
    let room = Room::of_stdout();
    write_rows(
        &mut std::io::stdout().lock(),
        &rows.schema(),
        std::slice::from_ref(rows),
        output.format,
        room,
    )?;
    Ok(Outcome::Done)
}
