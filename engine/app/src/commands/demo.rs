//! `tidemill demo`: the whole way once, with nothing but this binary.
//!
//! ```text
//! generated CSV ──produce──> embedded broker ──stream──> lake ──sql──> the table that is printed
//! ```
//!
//! Each arrow is the code that a user's own job runs. The job is the built-in one, whatever lies in the working folder.

use std::path::Path;
use std::time::Instant;

use tidemill_broker::{Broker, BrokerConfig};
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings};
use tidemill_core::stream::{self, StreamEvent, StreamOptions};
use tidemill_core::{Error, catalog};

use super::broker_error;
use crate::bars::Bar;
use crate::cli::{DemoArgs, GlobalArgs};
use crate::exit::{Done, Outcome, print_line};
use crate::notes::note;
use crate::output::{Format, Room, write_rows};
use crate::produce::{ProduceOptions, Rate};
use crate::signals::{self, Stop};
use crate::{demo_folder, invocation, report, style};

const JOB: &str = "chicago-arrests";

/// Batches that the rows make: enough to see the models get better.
const BATCHES: u64 = 12;

/// Accuracy and AUC by batch and model, the held-out rows' beside the new batch's.
const RESULT: &str = "\
SELECT
    holdout.batch_id AS batch,
    holdout.model,
    holdout.accuracy AS \"hold-out accuracy\",
    holdout.auc AS \"hold-out AUC\",
    prequential.accuracy AS \"prequential accuracy\",
    prequential.auc AS \"prequential AUC\",
    holdout.train_ms AS \"train ms\"
FROM system.metrics AS holdout
LEFT JOIN system.metrics AS prequential
    ON prequential.job = holdout.job
    AND prequential.batch_id = holdout.batch_id
    AND prequential.model = holdout.model
    AND prequential.evaluation = 'prequential'
WHERE holdout.evaluation = 'holdout' AND holdout.accuracy IS NOT NULL
ORDER BY 1, 2";

/// Runs the stages in turn and says what to do next.
pub(crate) async fn run(global: &GlobalArgs, args: &DemoArgs) -> Done {
    let start = Instant::now();
    let folder = global.explicit_lake().unwrap_or(Path::new("demo"));
    demo_folder::make_anew(folder)?;
    let stop = signals::watch("stopping after this step; once more stops at once")?;
    let broker_data = folder.join(".broker");
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = Broker::start(BrokerConfig::new(listen, &broker_data)).await.map_err(broker_error)?;
    note(format_args!(
        "An embedded broker listens on {} (Kafka's protocol, loopback only).",
        broker.address()
    ));

    let done = stages(folder, args.rows, &broker.address().to_string(), &stop).await;

    let shut_down = broker.shutdown().await.map_err(broker_error);
    // The topic lives as long as its broker; what is left of it is of no use to anybody.
    let _ = std::fs::remove_dir_all(&broker_data);
    if done? == Outcome::Done {
        shut_down?;
        print_line(&next_steps(folder, style::elapsed_ms(start)))?;
    }
    Ok(stop.outcome())
}

/// Everything that needs the broker.
async fn stages(folder: &Path, rows: u64, brokers: &str, stop: &Stop) -> Done {
    let csv = folder.join("crimes.csv");
    super::data::generate(rows, 1, &csv)?;
    if stop.is_set() {
        return Ok(stop.outcome());
    }

    // The folder has no jobs/, so the project holds the built-in ones only; nor has the environment a say.
    let project = Project::open(folder);
    let sets = [
        ("source.kafka.bootstrap_servers", brokers.to_string()),
        ("source.max_offsets_per_trigger", rows.div_ceil(BATCHES).to_string()),
    ];
    let sets = sets.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    let job = project.stream_job(JOB, &Settings { sets, environment: std::collections::BTreeMap::new() })?;

    let options = ProduceOptions {
        input: Some(csv),
        month: None,
        rate: Rate::Max,
        rows: None,
        brokers: None,
        topic: None,
        partitions: None,
    };
    let lake = Lake::new(folder);
    super::produce::with_bar(&options, Some(rows), &project, &lake, &job, stop).await?;
    if stop.is_set() {
        return Ok(stop.outcome());
    }

    let bar = Bar::rows("stream", Some(rows));
    let mut done = 0;
    let options = StreamOptions { available_now: true, max_batches: None, ..StreamOptions::default() };
    let summary = stream::run(&job, &lake, &options, stop.flag(), &mut |event| {
        if let StreamEvent::Batch(progress) = event {
            done += progress.num_input_rows;
            bar.set(done);
            bar.say(format!(
                "batch {} of {BATCHES}  {}",
                progress.batch_id + 1,
                report::auc_so_far(progress)
            ));
        }
    })
    .await?;
    bar.finish(&format!(
        "{} streamed in {} batches, models retrained at each,",
        style::rows(summary.rows),
        summary.batches
    ));
    if stop.is_set() {
        return Ok(stop.outcome());
    }

    let session = catalog::open_session(&lake).await?;
    let batches = catalog::query(&session, &lake, RESULT).await?;
    let Some(schema) = batches.first().map(arrow::array::RecordBatch::schema) else {
        return Err(Error::internal("the demo's stream has left no metrics").into());
    };
    print_line("\nWill a reported crime lead to an arrest? Scores of the models after each batch:\n")?;
    write_rows(&mut std::io::stdout().lock(), &schema, &batches, Format::Table, Room::of_stdout())?;
    Ok(Outcome::Done)
}

/// What the table means and commands that run as they stand.
fn next_steps(folder: &Path, elapsed_ms: u64) -> String {
    let tidemill = invocation::of_this_process();
    let lake = format!("{tidemill} --lake {}", invocation::quoted(&folder.to_string_lossy()));
    let csv = invocation::quoted(&folder.join("crimes.csv").to_string_lossy());
    let heading = |text: &str| style::bold(text, style::stdout_color());
    format!(
        "
hold-out: 30 % of the rows of all batches so far, which no model trains on.
prequential: the model of the batch before on all rows of this batch, which it has not seen.

{done}

{next}
  Every score, with the confusion counts
    {lake} metrics {JOB}
  The crimes: how often they lead to an arrest, by FBI code
    {lake} sql \"SELECT fbi_code, count(*) AS crimes, avg(CAST(arrest AS INT)) AS arrest_rate FROM crimes GROUP BY fbi_code ORDER BY arrest_rate DESC\"
  A prompt on the same tables
    {lake} sql
  The same from a Kafka of your own, with JSON on the topic `crimes`
    {tidemill} stream {JOB} --brokers HOST:9092
  Or step by step: a broker, then in two more terminals a producer and the stream
    {tidemill} broker
    {tidemill} produce {JOB} --input {csv}
    {tidemill} stream {JOB}",
        done = heading(&format!("Done in {}; the lake is {}.", style::duration_ms(elapsed_ms), style::folder(folder))),
        next = heading("What to type next:"),
    )
}
