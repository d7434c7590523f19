//! Parquet files with changed bytes, by the hundred: no reader panics, and what is wrong is told with the file's name.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tidemill_core::lake::Lake;
use tidemill_core::{Result, batch, catalog};

use crate::batch::Shop;

/// A number that the last one decides.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The bytes with one to four of them changed, or a piece cut out, set to one value, or put in twice.
fn mutated(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = |state: &mut u64, length: usize| (next(state) % length as u64) as usize;
    // Half of the changes are in the footer, where a byte decides most.
    let place = |state: &mut u64, bytes: &[u8]| match next(state) % 2 {
        0 => at(state, bytes.len()),
        _ => bytes.len() - 1 - at(state, bytes.len().min(700)),
    };
    match next(state) % 8 {
        0 => {
            let (from, length) = (place(state, &bytes), at(state, 40));
            bytes.drain(from..(from + length).min(bytes.len()));
        }
        1 => {
            let (from, length, value) = (place(state, &bytes), at(state, 40), next(state) as u8);
            let to = (from + length).min(bytes.len());
            bytes[from..to].fill(value);
        }
        2 => {
            let (from, length) = (place(state, &bytes), at(state, 40));
            let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
            bytes.splice(from..from, piece);
        }
        _ => {
            for _ in 0..=next(state) % 4 {
                let from = place(state, &bytes);
                bytes[from] = next(state) as u8;
            }
        }
    }
    bytes
}

/// Files of several forms: pages with dictionaries and without, of either version, compressed and not, nested columns.
fn originals() -> Vec<Vec<u8>> {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter((0..200).map(|n| (n % 7 > 0).then_some(n))));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..200).map(|n| format!("v{}", n % 9))));
    let lists = (0..200).map(|n| (n % 5 > 0).then(|| (0..n % 4).map(Some).collect::<Vec<_>>()));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
    let rows = RecordBatch::try_from_iter([("n", numbers), ("t", texts), ("l", lists)]).unwrap();
    let builder = WriterProperties::builder;
    let zstd = parquet::basic::Compression::ZSTD(Default::default());
    let properties = [
        builder().build(),
        builder().set_compression(zstd).build(),
        builder().set_writer_version(parquet::file::properties::WriterVersion::PARQUET_2_0).build(),
        builder()
            .set_dictionary_enabled(false)
            .set_data_page_row_count_limit(30)
            .set_write_batch_size(10)
            .build(),
    ];
    properties
        .into_iter()
        .map(|properties| {
            let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
            writer.write(&rows).unwrap();
            writer.into_inner().unwrap()
        })
        .collect()
}

async fn read(lake: &Lake, statement: &str) -> Result<Vec<RecordBatch>> {
    let statements = [statement.to_owned()];
    let session = batch::open_session_with_files(lake, &statements).await?;
    catalog::query(&session, lake, statement).await
}

/// As the input of a batch job, and as a file that a statement names.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_of_others_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let path = folder.path().join("harmed.parquet");
    let mut state = 0x1234_5678_9abc_def1;
    let mut errors = 0;
    for (form, original) in originals().iter().enumerate() {
        for number in 0..150 {
            std::fs::write(&path, mutated(original, &mut state)).unwrap();
            let statement = format!("SELECT * FROM '{}'", path.display());
            // In a task of its own: a panic that came through would end it, and this test.
            let (lake, statement) = (lake.clone(), statement.clone());
            let read = tokio::spawn(async move { read(&lake, &statement).await });
            if let Err(error) = read.await.unwrap_or_else(|panic| panic!("{form} {number}: {panic}")) {
                errors += 1;
                assert!(error.to_string().contains("harmed.parquet"), "{form} {number}: {error}");
            }
        }
    }
    assert!(errors > 100, "{errors}");
}

/// As a committed file: with `--verify` never another answer, without it never a panic.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_of_the_lake_are_named() {
    let shop = Shop::new();
    shop.write("sql/shop/wide.sql", "SELECT *, CAST(item AS DOUBLE) / 3 AS third FROM items");
    shop.write("sql/shop/by_state.sql", "SELECT count(*) AS n FROM wide");
    shop.run(&[]);
    let lake = shop.lake();
    let files = std::fs::read_dir(lake.resolve("shop/wide")).unwrap().map(|entry| entry.unwrap().path());
    let file: std::path::PathBuf = files.into_iter().next().unwrap();
    let original = std::fs::read(&file).unwrap();
    let whole = read(&lake, "SELECT * FROM shop.wide").await.unwrap();
    let mut state = 0x0fed_cba9_8765_4321;
    for number in 0..300 {
        let mut bytes = mutated(&original, &mut state);
        // A change of the size is found before anything is read.
        bytes.resize(original.len(), 0);
        if bytes == original {
            continue;
        }
        std::fs::write(&file, &bytes).unwrap();
        let (lake, name) = (lake.clone(), name_of(&file));
        let task = tokio::spawn(async move {
            let statement = "SELECT * FROM shop.wide".to_owned();
            if let Err(error) = read(&lake, &statement).await {
                assert!(error.to_string().contains(&name), "{number}: {error}");
            }
            let session = catalog::open_session(&lake).await.unwrap();
            catalog::verify_files(&session);
            let error = catalog::query(&session, &lake, &statement).await.unwrap_err();
            assert!(error.to_string().contains(&name), "{number}: {error}");
        });
        task.await.unwrap_or_else(|panic| panic!("{number}: {panic}"));
    }
    std::fs::write(&file, &original).unwrap();
    assert_eq!(read(&lake, "SELECT * FROM shop.wide").await.unwrap(), whole);
    // A run that reads it tells the same; nothing of it is on the terminal but the error.
    let mut bytes = original.clone();
    let footer = bytes.len() - 30;
    bytes[footer - 200..footer].fill(0xff);
    std::fs::write(&file, &bytes).unwrap();
    let (code, error) = shop.refused(&["--select", "by_state", "--force"]);
    assert!(code == 1 && error.contains(&name_of(&file)), "{code} {error}");
    assert!(!error.contains("panicked at") && !error.contains("RUST_BACKTRACE"), "{error}");
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
