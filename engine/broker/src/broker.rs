//! Starting and stopping: the settings, the folder's lock, the threads.

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::{error, info};

use crate::error::{Error, ErrorKind};
use crate::offsets::Offsets;
use crate::server;
use crate::state::Shared;
use crate::topics::{Catalogue, MAX_PARTITIONS};

/// Threads that serve the sockets; the disk has threads of its own.
const SOCKET_THREADS: usize = 2;

/// The settings of a broker.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// Where to listen: a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where everything is kept; made if absent.
    pub data_dir: PathBuf,
    /// Partitions of a topic whose creator does not say how many (1 to 256; default 1).
    pub default_partitions: i32,
    /// Size of a segment file after which the next one begins, in bytes (default 256 MiB).
    pub segment_bytes: u64,
    /// How often what was appended is synced to the disk (default 1 s).
    pub fsync_interval: Duration,
    /// Largest record batch taken, in bytes (default 8 MiB).
    pub max_message_bytes: usize,
}

impl BrokerConfig {
    /// The defaults, listening on `listen` and keeping everything in `data_dir`.
    #[must_use]
    pub fn new(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            data_dir: data_dir.into(),
            default_partitions: 1,
            segment_bytes: 256 * 1024 * 1024,
            fsync_interval: Duration::from_secs(1),
            max_message_bytes: 8 * 1024 * 1024,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |what: String| Err(Error::new(ErrorKind::User, what));
        if !self.listen.ip().is_loopback() {
            return Err(Error::new(
                ErrorKind::User,
                format!("the development broker does not listen on {}", self.listen.ip()),
            )
            .hint("it has no access control: use 127.0.0.1 or [::1]; for other machines run Apache Kafka"));
        }
        if !(1..=MAX_PARTITIONS).contains(&self.default_partitions) {
            return refuse(format!(
                "default_partitions is {}, not 1 to {MAX_PARTITIONS}",
                self.default_partitions
            ));
        }
        if self.segment_bytes == 0 || self.max_message_bytes == 0 || self.fsync_interval.is_zero() {
            return refuse("segment_bytes, max_message_bytes and fsync_interval must not be 0".into());
        }
        Ok(())
    }
}

/// The broker's own runtime. A runtime must not be dropped on a thread that runs async code, where
/// a broker, or a start that was given up, mostly is: so it is let go in the background.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A running broker. It has threads of its own, so it answers also while the threads of the
/// program that started it are blocked in a Kafka client.
///
/// Dropping it stops it without waiting; [`shutdown`](Broker::shutdown) finishes what is under
/// way and syncs.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    threads: Threads,
    accepting: Option<JoinHandle<()>>,
    /// Held for life; the system frees it also when the process is killed.
    lock: Option<File>,
}

impl Broker {
    /// Opens the data folder, cuts off torn tails, and listens.
    ///
    /// # Errors
    /// User: the address is not a loopback one, or another broker has the folder; Storage: the
    /// port is taken, or the disk refuses; Corrupt: the folder's files do not fit together.
    pub async fn start(config: BrokerConfig) -> Result<Self, Error> {
        config.check()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SOCKET_THREADS)
            .max_blocking_threads(64)
            .thread_name("broker")
            .enable_all()
            .build()
            .map_err(|e| Error::new(ErrorKind::Storage, format!("cannot start threads: {e}")))?;
        let opening = runtime.spawn(open(config));
        let threads = Threads(Some(runtime));
        let opened = opening.await;
        let (shared, accepting, lock) =
            opened.map_err(|e| Error::new(ErrorKind::Internal, format!("opening failed: {e}")))??;
        Ok(Self { shared, threads, accepting: Some(accepting), lock: Some(lock) })
    }

    /// The address that it listens on, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The address as clients want it for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.shared.address.to_string()
    }

    /// The cluster's id, the same for the life of the data folder.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.shared.catalogue.cluster_id()
    }

    /// Stops accepting, lets requests under way be answered, syncs all logs, frees the folder.
    ///
    /// # Errors
    /// Storage: a log could not be synced.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.shared.stopping.send_replace(true);
        if let Some(accepting) = self.accepting.take() {
            // It ends by itself; that it was cancelled is no news here.
            let _ = accepting.await;
        }
        let shared = Arc::clone(&self.shared);
        let close = move || {
            shared.catalogue.close();
            shared.catalogue.sync()
        };
        let synced = match &self.threads.0 {
            Some(runtime) => runtime.spawn_blocking(close).await,
            None => return Ok(()),
        };
        synced.unwrap_or_else(|e| Err(Error::new(ErrorKind::Internal, e.to_string())))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shared.stopping.send_replace(true);
        // Nothing may be appended once another broker can have the folder.
        self.shared.catalogue.close();
        self.lock.take();
    }
}

async fn open(config: BrokerConfig) -> Result<(Arc<Shared>, JoinHandle<()>, File), Error> {
    let (dir, segment_bytes) = (config.data_dir.clone(), config.segment_bytes);
    let opened = tokio::task::spawn_blocking(move || -> Result<_, Error> {
        fs::create_dir_all(&dir).map_err(|e| Error::io("cannot make the folder", &dir, e))?;
        let lock = lock(&dir)?;
        Ok((lock, Catalogue::open(&dir, segment_bytes)?, Offsets::open(&dir)?))
    });
    let (lock, catalogue, offsets) =
        opened.await.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))??;
    let cannot_listen = |e| {
        Error::new(ErrorKind::Storage, format!("cannot listen on {}: {e}", config.listen))
            .hint("choose another port; port 0 takes a free one")
    };
    let listener = TcpListener::bind(config.listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let shared = Arc::new(Shared {
        address,
        default_partitions: config.default_partitions,
        max_message_bytes: config.max_message_bytes,
        catalogue,
        offsets,
        changed: Notify::new(),
        stopping: watch::Sender::new(false),
    });
    info!(%address, data_dir = %config.data_dir.display(),
        "development broker; use Apache Kafka in production");
    tokio::spawn(sync_regularly(Arc::clone(&shared), config.fsync_interval));
    let accepting = tokio::spawn(server::run(listener, Arc::clone(&shared)));
    Ok((shared, accepting, lock))
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| Error::io("cannot open", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::User,
            format!("another broker is using the data folder {}", dir.display()),
        )
        .hint("stop it, or choose another folder")),
        Err(TryLockError::Error(e)) => Err(Error::io("cannot lock", &path, e)),
    }
}

async fn sync_regularly(shared: Arc<Shared>, interval: Duration) {
    let mut stopping = shared.stopping.subscribe();
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        let syncing = Arc::clone(&shared);
        match tokio::task::spawn_blocking(move || syncing.catalogue.sync()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => error!("{e}"),
            Err(e) => error!("syncing failed: {e}"),
        }
    }
}
