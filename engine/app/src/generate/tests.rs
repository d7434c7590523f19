//! Files are whole or absent, and plain and gzip hold the same.

use std::io::Read;

use tidemill_core::ErrorKind;

use super::*;

/// A folder of this test's own, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tidemill-generate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn gzip_holds_what_the_plain_file_holds() {
    let folder = Folder::new("gzip");
    let (plain, gzip) = (folder.0.join("crimes.csv"), folder.0.join("crimes.csv.gz"));
    std::fs::write(&plain, "what stood there before").unwrap();
    write_chicago_crimes(2_000, 5, &plain, &mut |_| ()).unwrap();
    write_chicago_crimes(2_000, 5, &gzip, &mut |_| ()).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(File::open(&gzip).unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(std::fs::read_to_string(&plain).unwrap(), text);
    assert_eq!(text.lines().count(), 2_001);
    assert_eq!(folder.names(), ["crimes.csv", "crimes.csv.gz"]);
}

#[test]
fn nothing_is_seen_under_the_name_before_it_is_whole() {
    let folder = Folder::new("whole");
    let out = folder.0.join("crimes.csv");
    let mut looked = 0;
    write_chicago_crimes(10_000, 5, &out, &mut |rows| {
        looked += 1;
        assert!(rows <= 10_000 && !out.exists());
    })
    .unwrap();
    assert!(looked > 0 && out.exists());
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let folder = Folder::new("failed");
    // The name is taken by a folder only when the file is done: the rename fails.
    let out = folder.0.join("crimes.csv");
    let error = write_chicago_crimes(10, 5, &out, &mut |_| std::fs::create_dir_all(out.join("x")).unwrap())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert_eq!(folder.names(), ["crimes.csv"]);
}

#[test]
fn a_folder_that_is_not_there_is_the_callers_to_mend() {
    let error = write_chicago_crimes(1, 1, Path::new("/no/such/folder/crimes.csv"), &mut |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().contains("/no/such/folder/crimes.csv") && error.next_step().is_some());
}
