//! The catalogue: which topics there are, under which id, and the ids given to producers.
//!
//! It is one file, `meta.json`, replaced as a whole at each change, and for readers one immutable
//! snapshot behind an `Arc`. Order of a change: folders of a new topic, then the file, then the
//! snapshot; for a deletion the file, the snapshot, then the folders. So a crash leaves at most
//! folders that the catalogue does not name; they are removed before a topic of that name is made.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::log::PartitionLog;
use crate::storage::{read_json, sync_dir, write_json};

/// Each partition holds a file open; a typing error must not exhaust the process's descriptors.
pub(crate) const MAX_PARTITIONS: i32 = 256;
/// Producer ids reserved at one write of the file; a restart skips the rest of a block.
const PRODUCER_ID_BLOCK: i64 = 1000;
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    format: u32,
    cluster_id: String,
    /// Ids below this one may have been given out.
    producer_ids_reserved_to: i64,
    topics: BTreeMap<String, TopicMeta>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TopicMeta {
    id: String,
    partitions: i32,
}

/// One topic; a topic deleted and made again is another one, with another id.
#[derive(Debug)]
pub(crate) struct Topic {
    pub name: String,
    pub id: Uuid,
    pub partitions: Vec<Arc<PartitionLog>>,
}

impl Topic {
    /// The log of partition `index`.
    ///
    /// # Errors
    /// `UnknownTopicOrPartition`.
    pub(crate) fn partition(&self, index: i32) -> Result<&Arc<PartitionLog>, ResponseError> {
        usize::try_from(index)
            .ok()
            .and_then(|i| self.partitions.get(i))
            .ok_or(ResponseError::UnknownTopicOrPartition)
    }
}

/// All topics at one moment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
}

impl Topics {
    /// The topic of that name.
    ///
    /// # Errors
    /// `UnknownTopicOrPartition`.
    pub(crate) fn by_name(&self, name: &str) -> Result<&Arc<Topic>, ResponseError> {
        self.by_name.get(name).ok_or(ResponseError::UnknownTopicOrPartition)
    }

    /// The topic with that id.
    ///
    /// # Errors
    /// `UnknownTopicId`.
    pub(crate) fn by_id(&self, id: Uuid) -> Result<&Arc<Topic>, ResponseError> {
        self.by_id.get(&id).ok_or(ResponseError::UnknownTopicId)
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    fn put(&mut self, topic: Topic) {
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, Arc::clone(&topic));
        self.by_name.insert(topic.name.clone(), topic);
    }
}

#[derive(Debug)]
struct Changes {
    meta: Meta,
    next_producer_id: i64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Catalogue {
    dir: PathBuf,
    segment_bytes: u64,
    cluster_id: String,
    changes: Mutex<Changes>,
    topics: RwLock<Arc<Topics>>,
}

impl Catalogue {
    /// Opens the catalogue and every log that it names, or begins a new one.
    ///
    /// # Errors
    /// Storage; Corrupt.
    pub(crate) fn open(dir: &Path, segment_bytes: u64) -> Result<Self, Error> {
        let path = dir.join("meta.json");
        let meta = match read_json::<Meta>(&path)? {
            Some(meta) if meta.format == FORMAT => meta,
            Some(meta) => {
                let what = format!("{}: unknown format {}", path.display(), meta.format);
                return Err(Error::new(ErrorKind::Corrupt, what)
                    .hint("it was written by another version of the broker"));
            }
            None => {
                let meta = Meta {
                    format: FORMAT,
                    cluster_id: Uuid::new_v4().to_string(),
                    producer_ids_reserved_to: 0,
                    topics: BTreeMap::new(),
                };
                write_json(&path, &meta)?;
                meta
            }
        };
        let mut topics = Topics::default();
        for (name, topic) in &meta.topics {
            let id = Uuid::parse_str(&topic.id).map_err(|e| {
                let what = format!("{}: id of topic {name}: {e}", path.display());
                Error::new(ErrorKind::Corrupt, what)
            })?;
            let partitions = (0..topic.partitions)
                .map(|i| open_log(dir, name, i, segment_bytes))
                .collect::<Result<_, _>>()?;
            topics.put(Topic { name: name.clone(), id, partitions });
        }
        Ok(Self {
            dir: dir.to_owned(),
            segment_bytes,
            cluster_id: meta.cluster_id.clone(),
            changes: Mutex::new(Changes { next_producer_id: meta.producer_ids_reserved_to, meta }),
            topics: RwLock::new(Arc::new(topics)),
        })
    }

    /// The id of the cluster, the same for the life of the data folder.
    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The topics now.
    pub(crate) fn topics(&self) -> Arc<Topics> {
        Arc::clone(&self.topics.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// The protocol's code: a bad name or count, a topic that exists, or a disk that refuses.
    pub(crate) fn create(&self, name: &str, partitions: i32) -> Result<Arc<Topic>, ResponseError> {
        let mut changes = self.lock();
        self.check_new(name, partitions)?;
        let id = Uuid::new_v4();
        let make = || -> Result<Topic, Error> {
            let logs = (0..partitions).map(|i| {
                remove_folder(&self.dir, name, i)?;
                open_log(&self.dir, name, i, self.segment_bytes)
            });
            let partitions = logs.collect::<Result<_, Error>>()?;
            sync_dir(&self.dir)?;
            Ok(Topic { name: name.to_owned(), id, partitions })
        };
        let topic = make().map_err(|e| storage_error(&e))?;
        let entry = TopicMeta { id: id.to_string(), partitions };
        changes.meta.topics.insert(name.to_owned(), entry);
        if let Err(e) = self.save(&changes.meta) {
            changes.meta.topics.remove(name);
            return Err(e);
        }
        info!(topic = name, partitions, %id, "topic made");
        self.publish(|topics| topics.put(topic));
        self.topics().by_name(name).cloned()
    }

    /// Whether [`create`](Self::create) would take it.
    ///
    /// # Errors
    /// As `create`, except for the disk.
    pub(crate) fn check_new(&self, name: &str, partitions: i32) -> Result<(), ResponseError> {
        if !is_legal_name(name) {
            return Err(ResponseError::InvalidTopicException);
        }
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(ResponseError::InvalidPartitions);
        }
        match self.topics().by_name(name) {
            Ok(_) => Err(ResponseError::TopicAlreadyExists),
            Err(_) => Ok(()),
        }
    }

    /// Deletes one topic and its data.
    ///
    /// # Errors
    /// `UnknownTopicOrPartition`, or a disk that refuses.
    pub(crate) fn delete(&self, name: &str) -> Result<(), ResponseError> {
        let mut changes = self.lock();
        let topic = Arc::clone(self.topics().by_name(name)?);
        let entry = changes.meta.topics.remove(name);
        if let Err(e) = self.save(&changes.meta) {
            changes.meta.topics.extend(entry.map(|e| (name.to_owned(), e)));
            return Err(e);
        }
        self.publish(|topics| {
            topics.by_name.remove(name);
            topics.by_id.remove(&topic.id);
        });
        for (i, log) in topic.partitions.iter().enumerate() {
            log.close();
            // Gone from the catalogue already: a folder left behind is only space.
            if let Err(e) = remove_folder(&self.dir, name, i as i32) {
                warn!("{e}");
            }
        }
        info!(topic = name, id = %topic.id, "topic deleted");
        Ok(())
    }

    /// Raises the number of partitions to `count`.
    ///
    /// # Errors
    /// `UnknownTopicOrPartition`, `InvalidPartitions`, or a disk that refuses.
    pub(crate) fn grow(&self, name: &str, count: i32, validate_only: bool) -> Result<(), ResponseError> {
        let mut changes = self.lock();
        let topic = Arc::clone(self.topics().by_name(name)?);
        let old = topic.partitions.len() as i32;
        if count <= old || count > MAX_PARTITIONS {
            return Err(ResponseError::InvalidPartitions);
        }
        if validate_only {
            return Ok(());
        }
        let mut partitions = topic.partitions.clone();
        for i in old..count {
            let log = remove_folder(&self.dir, name, i)
                .and_then(|()| open_log(&self.dir, name, i, self.segment_bytes));
            partitions.push(log.map_err(|e| storage_error(&e))?);
        }
        sync_dir(&self.dir).map_err(|e| storage_error(&e))?;
        if let Some(entry) = changes.meta.topics.get_mut(name) {
            entry.partitions = count;
        }
        if let Err(e) = self.save(&changes.meta) {
            if let Some(entry) = changes.meta.topics.get_mut(name) {
                entry.partitions = old;
            }
            return Err(e);
        }
        self.publish(|topics| {
            topics.put(Topic { name: topic.name.clone(), id: topic.id, partitions });
        });
        Ok(())
    }

    /// A producer id that was never given out before, also not before a crash.
    ///
    /// # Errors
    /// `KafkaStorageError`.
    pub(crate) fn new_producer_id(&self) -> Result<i64, ResponseError> {
        let mut changes = self.lock();
        let id = changes.next_producer_id;
        if id >= changes.meta.producer_ids_reserved_to {
            changes.meta.producer_ids_reserved_to = id + PRODUCER_ID_BLOCK;
            if let Err(e) = self.save(&changes.meta) {
                changes.meta.producer_ids_reserved_to = id;
                return Err(e);
            }
        }
        changes.next_producer_id = id + 1;
        Ok(id)
    }

    /// Syncs every log; the first failure is returned, after all were tried.
    ///
    /// # Errors
    /// Storage.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let topics = self.topics();
        let logs = topics.iter().flat_map(|topic| &topic.partitions);
        logs.map(|log| log.sync()).fold(Ok(()), Result::and)
    }

    /// Closes every log: nothing is appended afterwards.
    pub(crate) fn close(&self) {
        for topic in self.topics().iter() {
            topic.partitions.iter().for_each(|log| log.close());
        }
    }

    fn save(&self, meta: &Meta) -> Result<(), ResponseError> {
        write_json(&self.dir.join("meta.json"), meta).map_err(|e| storage_error(&e))
    }

    fn publish(&self, change: impl FnOnce(&mut Topics)) {
        let mut current = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let mut topics = Topics::clone(&current);
        change(&mut topics);
        *current = Arc::new(topics);
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kafka's rule: letters, digits, `.`, `_`, `-`, at most 249, not `.` or `..`. It also keeps a
/// name from being a path.
fn is_legal_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

fn folder(dir: &Path, topic: &str, partition: i32) -> PathBuf {
    dir.join(format!("{topic}-{partition}"))
}

fn open_log(dir: &Path, topic: &str, partition: i32, segment_bytes: u64) -> Result<Arc<PartitionLog>, Error> {
    PartitionLog::open(folder(dir, topic, partition), segment_bytes).map(Arc::new)
}

fn remove_folder(dir: &Path, topic: &str, partition: i32) -> Result<(), Error> {
    let path = folder(dir, topic, partition);
    match fs::remove_dir_all(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("cannot remove", &path, e)),
        _ => Ok(()),
    }
}

fn storage_error(e: &Error) -> ResponseError {
    error!("{e}");
    ResponseError::KafkaStorageError
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_made_again_has_another_id_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(dir.path(), 1 << 20).unwrap();
        let first = catalogue.create("a", 2).unwrap().id;
        let other = catalogue.create("a-1", 1).unwrap().id;
        assert_eq!(catalogue.create("a", 1).unwrap_err(), ResponseError::TopicAlreadyExists);
        catalogue.delete("a").unwrap();
        assert_eq!(catalogue.delete("a").unwrap_err(), ResponseError::UnknownTopicOrPartition);
        assert!(!dir.path().join("a-1").exists() && dir.path().join("a-1-0").exists());
        let second = catalogue.create("a", 1).unwrap().id;
        assert_ne!(first, second);
        let cluster = catalogue.cluster_id().to_owned();
        drop(catalogue);
        let again = Catalogue::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(again.cluster_id(), cluster);
        assert_eq!(again.topics().by_id(second).unwrap().name, "a");
        assert_eq!(again.topics().by_name("a-1").unwrap().id, other);
        assert!(again.topics().by_id(first).is_err());
    }

    #[test]
    fn leftovers_of_a_crash_do_not_come_back_in_a_new_topic() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(dir.path(), 1 << 20).unwrap();
        fs::create_dir(dir.path().join("t-0")).unwrap();
        fs::write(dir.path().join("t-0").join("00000000000000000007.log"), b"old").unwrap();
        let topic = catalogue.create("t", 1).unwrap();
        assert_eq!(topic.partition(0).unwrap().next_offset(), 0);
        assert!(topic.partition(1).is_err() && topic.partition(-1).is_err());
    }

    #[test]
    fn partitions_only_grow() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(dir.path(), 1 << 20).unwrap();
        let id = catalogue.create("t", 2).unwrap().id;
        for bad in [-1, 0, 1, 2, MAX_PARTITIONS + 1, i32::MAX] {
            let refused = Err(ResponseError::InvalidPartitions);
            assert_eq!(catalogue.grow("t", bad, false), refused);
        }
        catalogue.grow("t", 4, true).unwrap();
        assert_eq!(catalogue.topics().by_name("t").unwrap().partitions.len(), 2);
        catalogue.grow("t", 4, false).unwrap();
        let topics = Catalogue::open(dir.path(), 1 << 20).unwrap().topics();
        assert_eq!(topics.by_id(id).unwrap().partitions.len(), 4);
    }

    #[test]
    fn producer_ids_are_never_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..3 {
            let catalogue = Catalogue::open(dir.path(), 1 << 20).unwrap();
            for _ in 0..PRODUCER_ID_BLOCK + 5 {
                assert!(seen.insert(catalogue.new_producer_id().unwrap()));
            }
        }
    }

    #[test]
    fn names_are_checked() {
        for good in ["crimes", "a.b_c-D9", &"x".repeat(249)] {
            assert!(is_legal_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ü", "../x", &"x".repeat(250)] {
            assert!(!is_legal_name(bad), "{bad}");
        }
    }
}
