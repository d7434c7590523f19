use super::*;
use crate::error::ErrorKind;
use crate::files::create_folders;
use crate::records::FileEntry;
use crate::table::publish::{roll_forward, stage};

fn tables() -> Vec<String> {
    vec!["j_k/t".to_owned()]
}

fn claim<'a>(job: &'a str, schema_name: &'a str, kind: JobKind, tables: &'a [String]) -> Claim<'a> {
    Claim { job, schema_name, kind, tables }
}

fn open(claim: &Claim<'_>, lake: &Lake) -> Result<String> {
    claim.check_new(lake)?;
    create_folders(&lake.checkpoint(claim.schema_name))?;
    claim.query_id(lake)
}

fn stream(lake: &Lake) -> Result<String> {
    open(&claim("j-k", "j_k", JobKind::Stream, &tables()), lake)
}

fn commit(lake: &Lake, number: u64, added: Vec<FileEntry>) {
    let list = RecordList::<Commit>::open(lake.checkpoint("j_k").join("commits")).unwrap();
    let commit = Commit { added, ..Commit::of_nothing(number) };
    list.create(number, &commit).unwrap();
    // A stream has plans; what is in one does not matter here.
    let plans = lake.checkpoint("j_k").join("offsets");
    create_folders(&plans).unwrap();
    std::fs::write(plans.join(format!("{number}.json")), "{}").unwrap();
}

/// A lake with one committed batch, by this job.
fn with_a_batch(folder: &Path) -> Lake {
    let lake = Lake::new(folder);
    stream(&lake).unwrap();
    let file = stage(&lake, "j_k.t", "j_k/t/batch-00000000.parquet", b"abc", 1).unwrap();
    commit(&lake, 0, vec![file.clone()]);
    roll_forward(&lake, &[file]).unwrap();
    lake
}

#[test]
fn every_row_of_the_truth_table() {
    let folder = tempfile::tempdir().unwrap();
    let new = Lake::new(folder.path().join("new"));
    let id = stream(&new).unwrap();
    assert_eq!(stream(&new).unwrap(), id, "a start that was cut short goes on");

    let whole = with_a_batch(&folder.path().join("whole"));
    assert_eq!(stream(&whole).unwrap(), stream(&whole).unwrap());
    type Harm = fn(&Lake);
    let cases: [(&str, Harm); 6] = [
        ("one would append every row", |lake| {
            std::fs::remove_dir_all(lake.checkpoint("j_k")).unwrap();
            create_folders(&lake.checkpoint("j_k")).unwrap();
        }),
        ("records but no query.json", |lake| {
            std::fs::remove_file(lake.checkpoint("j_k").join(FILE)).unwrap();
        }),
        ("one would append every row", |lake| {
            for list in ["offsets", "commits"] {
                std::fs::remove_dir_all(lake.checkpoint("j_k").join(list)).unwrap();
            }
        }),
        ("the table of this checkpoint is gone", |lake| {
            std::fs::remove_dir_all(lake.resolve("j_k/t")).unwrap();
        }),
        ("listed but is not there", |lake| {
            std::fs::remove_file(lake.resolve("j_k/t/batch-00000000.parquet")).unwrap();
        }),
        ("is in no record of this checkpoint: its newest batch is 0", |lake| {
            std::fs::write(lake.resolve("j_k/t/batch-00000001.parquet"), b"abc").unwrap();
        }),
    ];
    for (at, (said, harm)) in cases.into_iter().enumerate() {
        let lake = with_a_batch(&folder.path().join(at.to_string()));
        harm(&lake);
        let error = stream(&lake).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{said}: {error}");
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert!(error.next_step().is_some(), "{said}");
    }
}

#[test]
fn a_lake_of_before_is_taken_over_and_its_table_is_left_with_data_alone() {
    let folder = tempfile::tempdir().unwrap();
    let lake = with_a_batch(folder.path());
    let id = stream(&lake).unwrap();
    let before = format!("{{\"format\": 1, \"query_id\": \"{id}\"}}");
    for path in [lake.checkpoint("j_k").join(FILE), lake.resolve("j_k/t").join(OLD_FILE)] {
        std::fs::write(path, &before).unwrap();
    }
    assert_eq!(stream(&lake).unwrap(), id);
    assert!(!lake.resolve("j_k/t").join(OLD_FILE).exists());
    let text = std::fs::read_to_string(lake.checkpoint("j_k").join(FILE)).unwrap();
    assert!(text.contains("\"j-k\"") && text.contains("\"stream\"") && text.contains("j_k/t"), "{text}");
    std::fs::write(lake.resolve("j_k/t").join(OLD_FILE), before.replace(&id, "b")).unwrap();
    let error = stream(&lake).unwrap_err().to_string();
    assert!(error.contains("of query b"), "{error}");
}

/// Each row of the other table, and what nobody knows.
#[test]
fn the_format_is_raised_and_no_start_goes_on_from_one_that_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let lake = with_a_batch(folder.path());
    let path = lake.checkpoint("j_k").join(FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let of = |format: u32| text.replace(&format!("\"format\": {FORMAT}"), &format!("\"format\": {format}"));
    assert_eq!((of(FORMAT), format_of(&lake, "j_k").unwrap()), (text.clone(), FORMAT));
    std::fs::write(&path, of(1)).unwrap();
    assert_eq!(format_of(&lake, "j_k").unwrap(), 1, "what is said of versions does not carry it over");
    stream(&lake).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), of(1), "a start that may be refused yet");
    for _ in 0..2 {
        carry_over(&lake, "j_k").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "the same but for the format");
    }
    for (format, side) in [(0, "an older version"), (FORMAT + 1, "a newer version")] {
        std::fs::write(&path, of(format)).unwrap();
        for error in [stream(&lake).unwrap_err(), format_of(&lake, "j_k").unwrap_err()] {
            assert!(
                error.to_string().contains(&format!("{FILE} has format {format}, this version reads 1 to "))
            );
            assert!(error.next_step().unwrap().contains(side), "{error:?}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), of(format));
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(format_of(&lake, "j_k").unwrap(), 1, "as lakes of long before");
}

#[test]
fn the_second_job_of_a_folder_or_a_table_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let lake = with_a_batch(folder.path());
    let (own, theirs) = (tables(), vec!["other/t".to_owned()]);
    let third = vec!["third/t".to_owned()];
    let refused = [
        (claim("j_k", "j_k", JobKind::Stream, &own), "folder of the stream job `j-k`"),
        (claim("j-k", "j_k", JobKind::Batch, &own), "folder of the stream job `j-k`"),
        (claim("J-k", "J_k", JobKind::Batch, &theirs), "job `j-k`, whose name differs"),
        (claim("other", "other", JobKind::Stream, &own), "j_k/t belongs to the stream job `j-k`"),
        (claim("system", "system", JobKind::Batch, &theirs), "cannot be called `system`"),
        (claim("lateral", "lateral", JobKind::Batch, &theirs), "cannot be called `lateral`"),
        (claim("a.b", "a.b", JobKind::Stream, &theirs), "cannot be called `a.b`"),
        (claim("a b", "a b", JobKind::Batch, &theirs), "cannot be called `a b`"),
    ];
    for (claim, said) in &refused {
        let error = open(claim, &lake).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::User, "{error}");
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert!(!error.next_step().unwrap().contains("delete"), "{said}");
        assert!(claim.schema_name == "j_k" || !lake.root().join(claim.schema_name).exists());
    }
    // A lake of before, where nobody has said whose table it is.
    std::fs::write(lake.checkpoint("j_k").join(FILE), "{\"format\": 1, \"query_id\": \"q\"}").unwrap();
    let error = claim("j-k", "j_k", JobKind::Batch, &own).query_id(&lake).unwrap_err().to_string();
    assert!(error.contains("the folder of the stream job:"), "{error}");
    let error = open(&claim("x", "x", JobKind::Stream, &own), &lake).unwrap_err().to_string();
    assert!(error.contains("belongs to the stream job `j_k`"), "{error}");
    // A stream in a folder that is no job's, before a batch job of this name comes with such a table.
    open(&claim("other", "other", JobKind::Stream, &third), &lake).unwrap();
    let error = open(&claim("third", "third", JobKind::Batch, &third), &lake).unwrap_err().to_string();
    assert!(error.contains("third/t belongs to the stream job `other`"), "{error}");
    for (job, schema) in [("good-name", "good_name"), ("Shop", "Shop"), ("t2", "t2")] {
        let tables = vec![format!("{schema}/t")];
        open(&claim(job, schema, JobKind::Batch, &tables), &lake).unwrap();
    }
}

#[test]
fn the_table_of_a_stream_does_not_move() {
    let folder = tempfile::tempdir().unwrap();
    let lake = with_a_batch(folder.path());
    let moved = vec!["j_k/u".to_owned()];
    let error = claim("j-k", "j_k", JobKind::Stream, &moved).query_id(&lake).unwrap_err();
    assert!(error.to_string().contains("so far are in lake/j_k/t"), "{error}");
}
