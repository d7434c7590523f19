//! Files of a lake as statements read them: few of them open at a time, and found again where they are renamed meanwhile.
//!
//! A table of a stream has a file a batch, thousands by and by, and a process may have 1,024 open by default. DataFusion asks
//! how large the files of a table are, all at once, and of whom it asks opens each for it: here that opens none. Parts of
//! files (footers, pages) are read by [`AT_ONCE`] at most at a time. Beside these a file that is read as a whole (CSV, JSON)
//! is open for each partition of a plan, and what is spilled to disk.
//!
//! A batch's file has another place before its rename, which comes right after the commit that lists it, but only once the
//! disk has taken that commit: a second and more where the disk is busy. A statement that was planned in that moment goes
//! on reading under the new name; it is not run again, and waits for nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::path::Path as Location;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::io_error;
use crate::lake::Lake;
use crate::records::{FileEntry, Ledger};
use crate::table::publish::readable_path;
use crate::table::read::{checked_path, damage, missing, verified_once};
use crate::table::scan::whole;

/// Files that a session reads parts of at a time.
const AT_ONCE: usize = 64;

/// Files that the tables of a statement were resolved to. DataFusion takes one that is gone, or has been emptied, for an
/// empty folder: whoever runs a statement has to look here afterwards.
#[derive(Debug)]
pub(super) struct ResolvedFiles {
    lake: Lake,
    /// By the places that they had.
    files: Mutex<BTreeMap<PathBuf, FileEntry>>,
    /// By job, what its records say to the statement that is being run.
    ledgers: Mutex<Option<BTreeMap<String, Arc<Ledger>>>>,
    /// Whether all bytes of a file are checked, not its size alone.
    verify: AtomicBool,
}

impl ResolvedFiles {
    pub(super) fn new(lake: Lake) -> ResolvedFiles {
        ResolvedFiles {
            lake,
            files: Mutex::default(),
            ledgers: Mutex::default(),
            verify: AtomicBool::new(false),
        }
    }

    /// Begins a statement: it forgets the files of the one before, and until its end each job is what it was when it was first
    /// looked at, for all tables of the statement.
    pub(super) fn begin(&self) -> Reading<'_> {
        self.clear();
        *self.ledgers() = Some(BTreeMap::new());
        Reading(self)
    }

    /// What the records of a job say: to one statement always the same.
    pub(super) fn ledger(&self, schema_name: &str) -> crate::error::Result<Arc<Ledger>> {
        if let Some(known) = self.ledgers().as_ref().and_then(|ledgers| ledgers.get(schema_name)) {
            return Ok(known.clone());
        }
        let ledger = Ledger::of(&self.lake, schema_name)?;
        if let Some(ledgers) = self.ledgers().as_mut() {
            ledgers.insert(schema_name.to_owned(), ledger.clone());
        }
        Ok(ledger)
    }

    /// Where a file of a table is.
    ///
    /// # Errors
    /// Corrupt: it is not what its record says; Storage.
    pub(super) fn resolve(&self, file: &FileEntry) -> crate::error::Result<PathBuf> {
        let path = match self.verify.load(Ordering::Relaxed) {
            true => verified_once(&self.lake, file)?,
            false => checked_path(&self.lake, file)?,
        };
        let path = whole(&path).map_err(|e| io_error("find", &path, &e))?;
        self.files().insert(path.clone(), file.clone());
        Ok(path)
    }

    /// From now on all bytes are checked.
    pub(super) fn verify(&self) {
        self.verify.store(true, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.files().clear();
    }

    /// Whether all can still be read, wherever they are, and are as large as they were.
    pub(super) fn all_there(&self) -> bool {
        let is_whole = |path: &Path, file: &FileEntry| {
            std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == file.bytes)
        };
        let files = self.files();
        files.iter().all(|(path, file)| {
            is_whole(path, file) || (!path.is_file() && is_whole(&readable_path(&self.lake, file), file))
        })
    }

    /// Why not all could be read: one that is gone is named. Another may have been replaced since by a newer version.
    pub(super) fn not_there(&self) -> crate::error::Error {
        let files = self.files();
        match files.values().find(|file| !readable_path(&self.lake, file).is_file()) {
            Some(gone) => missing(&self.lake, gone),
            None => crate::error::Error::storage("the files of a table kept moving while they were read")
                .hint("run it again"),
        }
    }

    /// The first that is not what its record says, as an error that names it.
    pub(super) fn damage(&self) -> Option<crate::error::Error> {
        let files: Vec<FileEntry> = self.files().values().cloned().collect();
        damage(&self.lake, &files)
    }

    /// The place of a file that was at `path`.
    fn now(&self, path: &Path) -> Option<PathBuf> {
        let file = self.files().get(path)?.clone();
        whole(readable_path(&self.lake, &file)).ok()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, FileEntry>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledgers(&self) -> MutexGuard<'_, Option<BTreeMap<String, Arc<Ledger>>>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A statement that is being run, until it is dropped.
pub(super) struct Reading<'a>(&'a ResolvedFiles);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        *self.0.ledgers() = None;
    }
}

/// `runtime`, but that files which move are read where they are.
pub(super) fn following(runtime: &RuntimeEnv, resolved: &Arc<ResolvedFiles>) -> Arc<RuntimeEnv> {
    let registry = DefaultObjectStoreRegistry::new();
    if let Ok(url) = url::Url::parse("file:///") {
        registry.register_store(&url, Arc::new(Followed::new(resolved)));
    }
    let mut runtime = runtime.clone();
    runtime.object_store_registry = Arc::new(registry);
    Arc::new(runtime)
}

/// The local disk, where a file that has moved is found under its new name.
#[derive(Debug)]
struct Followed {
    files: LocalFileSystem,
    resolved: Arc<ResolvedFiles>,
    /// A permit for each file that may be open.
    open: Semaphore,
}

impl Followed {
    fn new(resolved: &Arc<ResolvedFiles>) -> Followed {
        Followed { files: LocalFileSystem::new(), resolved: resolved.clone(), open: Semaphore::new(AT_ONCE) }
    }

    /// To be held while a file is open.
    async fn may_open(&self) -> Result<SemaphorePermit<'_>> {
        let closed = |e| Error::Generic { store: "lake", source: Box::new(e) };
        self.open.acquire().await.map_err(closed)
    }

    /// What is known of a file without opening it; `None` where it is not there.
    fn about(&self, location: &Location) -> Option<ObjectMeta> {
        let path = self.files.path_to_filesystem(location).ok()?;
        let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        Some(ObjectMeta {
            location: location.clone(),
            last_modified: found.modified().ok()?.into(),
            size: found.len(),
            e_tag: None,
            version: None,
        })
    }

    /// A file, open.
    async fn opened(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        match self.files.get_opts(location, options.clone()).await {
            Err(missing) => {
                let mut found = self.files.get_opts(&self.moved(location, missing)?, options).await?;
                // Under another name than it was asked for, DataFusion would leave it out of the table.
                found.meta.location = location.clone();
                Ok(found)
            }
            found => found,
        }
    }

    /// Where the file of this location is now, after `missing` said that it is not there.
    fn moved(&self, location: &Location, missing: Error) -> Result<Location> {
        if !matches!(missing, Error::NotFound { .. }) {
            return Err(missing);
        }
        let path = self.files.path_to_filesystem(location)?;
        match self.resolved.now(&path) {
            Some(now) => Ok(Location::from_absolute_path(now)?),
            None => Err(missing),
        }
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Followed {
    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        if options.head
            && let Some(meta) = self.about(location)
        {
            let payload = GetResultPayload::Stream(stream::empty().boxed());
            return Ok(GetResult { payload, range: 0..meta.size, meta, attributes: Default::default() });
        }
        if options.range.is_none() {
            return self.opened(location, options).await;
        }
        let _permit = self.may_open().await?;
        let found = self.opened(location, options).await?;
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        // Read here: whoever is given an open file closes it when it likes.
        let bytes = found.bytes().await?;
        let payload = GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Location, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let _permit = self.may_open().await?;
        match self.files.get_ranges(location, ranges).await {
            Err(missing) => self.files.get_ranges(&self.moved(location, missing)?, ranges).await,
            found => found,
        }
    }

    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.files.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Location, to: &Location, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use datafusion::object_store::ObjectStoreExt;

    use super::*;
    use crate::table::publish::{roll_forward, stage};

    #[tokio::test]
    async fn a_file_that_was_renamed_since_is_read_under_its_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let file = stage(&lake, "j.t", "j/t/batch-0.parquet", b"abc", 1).unwrap();
        let resolved = Arc::new(ResolvedFiles::new(lake.clone()));
        let staged = resolved.resolve(&file).unwrap();
        let store = Followed::new(&resolved);
        let location = Location::from_absolute_path(&staged).unwrap();
        let read = async || -> Result<(u64, Vec<Bytes>, Bytes)> {
            let ObjectMeta { location: name, size, .. } = store.head(&location).await?;
            assert_eq!(name, location);
            let ranges = store.get_ranges(&location, &[0..1, 2..3]).await?;
            Ok((size, ranges, store.get_range(&location, 1..2).await?))
        };
        let whole = (3, vec![Bytes::from("a"), Bytes::from("c")], Bytes::from("b"));
        assert_eq!(read().await.unwrap(), whole);
        roll_forward(&lake, std::slice::from_ref(&file)).unwrap();
        assert!(!staged.exists() && resolved.all_there());
        assert_eq!(read().await.unwrap(), whole);
        // One that has been emptied or changed is noticed, where it is looked at.
        let path = resolved.resolve(&file).unwrap();
        std::fs::write(&path, b"").unwrap();
        assert!(!resolved.all_there());
        std::fs::write(&path, b"abd").unwrap();
        assert!(resolved.all_there(), "as large");
        assert!(resolved.damage().unwrap().to_string().contains("batch-0.parquet"));
        resolved.verify();
        assert!(resolved.resolve(&file).is_err());
        // One that is gone for good is missed, and so is one that is not of the lake.
        std::fs::remove_file(lake.resolve(&file.path)).unwrap();
        assert!(!resolved.all_there());
        assert!(matches!(read().await, Err(Error::NotFound { .. })));
        resolved.clear();
        assert!(resolved.all_there());
        assert!(matches!(read().await, Err(Error::NotFound { .. })));
    }
}
