//! Brokers that are away: waited for, said, and no reason not to stop.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidemill_core::ErrorKind;
use tidemill_core::lake::Lake;
use tidemill_core::project::StreamJob;
use tidemill_core::stream::{self, StreamEvent, StreamOptions, StreamSummary};
use tokio::task::JoinHandle;

use crate::support::{JOB, TestBroker, crimes, job, positions, stream_all, tidemill};

const OFTEN: (&str, &str) = ("trigger.processing_time", "50ms");

/// A stream in the background.
struct Running {
    stop: Arc<AtomicBool>,
    rows: Arc<AtomicU64>,
    away_ms: Arc<AtomicU64>,
    task: JoinHandle<tidemill_core::Result<StreamSummary>>,
}

fn start(job: StreamJob, lake: &Lake) -> Running {
    let (stop, rows, away_ms) =
        (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let (lake, ending, counted, away) = (lake.clone(), stop.clone(), rows.clone(), away_ms.clone());
    let task = tokio::spawn(async move {
        stream::run(&job, &lake, &StreamOptions::default(), ending, &mut |event| {
            if let StreamEvent::Batch(progress) = event {
                counted.fetch_add(progress.num_input_rows, Ordering::Relaxed);
                away.fetch_add(progress.sources[0].brokers_away_ms, Ordering::Relaxed);
            }
        })
        .await
    });
    Running { stop, rows, away_ms, task }
}

impl Running {
    async fn reaches(&self, count: u64) {
        let started = Instant::now();
        while self.rows.load(Ordering::Relaxed) < count {
            assert!(started.elapsed() < Duration::from_secs(30), "{count} rows are not there");
            assert!(!self.task.is_finished(), "the stream ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) -> tidemill_core::Result<StreamSummary> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_waited_for() {
    let mut broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 2).await;
    broker.send(&broker.topic, 2, &crimes(40, 1));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let running = start(broker.job(1000, &[OFTEN]), &lake);
    running.reaches(40).await;
    broker.stop().await;
    // Longer than an answer may take.
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert!(!running.task.is_finished());
    broker.start_again().await;
    broker.send(&broker.topic, 2, &crimes(60, 2));
    let back = Instant::now();
    running.reaches(100).await;
    println!("after the broker was back the stream went on in {:?}", back.elapsed());
    let away = running.away_ms.load(Ordering::Relaxed);
    assert!((10_000..60_000).contains(&away), "{away} ms");
    running.end().await.unwrap();
    assert_eq!(positions(&lake).await, (100, 100));
}

/// Nothing is fetched ahead of the first batch: the plan is there, and its rows have to wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_waits_for_its_broker_too() {
    let broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 2).await;
    broker.send(&broker.topic, 2, &crimes(300, 1));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let (job, options) = (
        broker.job(100, &[]),
        StreamOptions { available_now: true, max_batches: None, ..StreamOptions::default() },
    );
    let broker = Arc::new(tokio::sync::Mutex::new(broker));
    let mut restart = None;
    let summary = stream::run(&job, &lake, &options, Arc::default(), &mut |event| {
        if let StreamEvent::Planned { batch_id: 0, .. } = event {
            let broker = broker.clone();
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async { broker.lock().await.stop().await });
            });
            restart = Some(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(4)).await;
                broker.lock().await.start_again().await;
            }));
        }
    })
    .await
    .unwrap();
    restart.unwrap().await.unwrap();
    assert_eq!((summary.batches, summary.rows), (3, 300));
    assert_eq!(positions(&lake).await, (300, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_up_after_the_time_that_its_job_says() {
    let mut broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 1).await;
    broker.send(&broker.topic, 1, &crimes(10, 1));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let running = start(broker.job(1000, &[OFTEN, ("source.kafka.broker_timeout", "12s")]), &lake);
    running.reaches(10).await;
    broker.stop().await;
    let stopped = Instant::now();
    let error = running.task.await.unwrap().unwrap_err();
    let taken = stopped.elapsed();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    assert!(
        error.to_string().contains(&format!("no Kafka broker answers at {}", broker.address())),
        "{error}"
    );
    assert!((Duration::from_secs(11)..Duration::from_secs(16)).contains(&taken), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_is_told_at_once_at_the_first_start_and_waited_for_later() {
    let mut broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 1).await;
    broker.send(&broker.topic, 1, &crimes(10, 1));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("new"));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for more in [OFTEN, ("trigger.available_now", "true")] {
        let started = Instant::now();
        let error = start(job(&nobody, 1000, &[more]), &lake).task.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        let text = error.to_string();
        assert!(text.contains(&nobody) && text.contains("refused"), "{text}");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert!(!lake.root().join("chicago_arrests").exists(), "nothing is begun");
    }
    // A job that has been there is started by whoever starts the brokers too.
    let lake = Lake::new(folder.path().join("old"));
    let once = broker.job(1000, &[]);
    stream_all(&once, &lake).await.unwrap();
    broker.stop().await;
    let running = start(broker.job(1000, &[OFTEN]), &lake);
    tokio::time::sleep(Duration::from_secs(3)).await;
    broker.start_again().await;
    broker.send(&broker.topic, 1, &crimes(5, 2));
    running.reaches(5).await;
    running.end().await.unwrap();
    assert_eq!(positions(&lake).await, (15, 15));
}

/// Sends a signal and gives the exit code, standard error, and the time until the end.
fn terminate(child: Child) -> (Option<i32>, String, Duration) {
    let asked = Instant::now();
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), asked.elapsed())
}

fn stream_command(lake: &Path, broker: &TestBroker) -> Command {
    let mut command = tidemill(lake);
    command.args(["stream", JOB, "--brokers", &broker.address(), "--set", "trigger.processing_time=50ms"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_wait_at_once_and_a_line_has_said_what_was_waited_for() {
    let mut broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 1).await;
    broker.send(&broker.topic, 1, &crimes(10, 1));
    let folder = tempfile::tempdir().unwrap();
    let commits = Lake::new(folder.path()).checkpoint("chicago_arrests").join("commits");
    let child = stream_command(folder.path(), &broker).spawn().unwrap();
    crate::brokers::wait_until("a batch is committed", || commits.join("0.json").exists());
    broker.stop().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (code, error, taken) = terminate(child);
    assert_eq!(code, Some(143), "{error}");
    assert!(taken < Duration::from_secs(2), "{taken:?}: {error}");
    let lines = error.matches("no Kafka broker answers").count();
    assert!((1..=4).contains(&lines), "said, and not over and over: {error}");
    assert!(error.contains("waiting, 10m at most"), "{error}");

    // The same where the brokers are away when it starts.
    let child = stream_command(folder.path(), &broker).spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (code, error, taken) = terminate(child);
    assert_eq!(code, Some(143), "{error}");
    assert!(taken < Duration::from_secs(2), "{taken:?}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_another_driver_holds_is_told_so_without_a_broker() {
    let mut broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 1).await;
    broker.send(&broker.topic, 1, &crimes(20, 1));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = broker.job(100, &[]);
    stream_all(&job, &lake).await.unwrap();
    let holds = stream::Driver::open(&job, &lake).await.unwrap();
    broker.stop().await;
    let started = Instant::now();
    let error = stream_all(&job, &lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held, "{error}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    drop(holds);
    // Where there is no broker yet, a new job leaves nothing in the lake.
    let nothing = Lake::new(folder.path().join("new"));
    assert_eq!(stream_all(&job, &nothing).await.unwrap_err().kind(), ErrorKind::Source);
    assert!(!nothing.root().exists());
}
