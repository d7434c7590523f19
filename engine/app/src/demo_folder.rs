//! The demo's folder: made anew each time, and only where nothing of the user's can be lost.
//!
//! | what is at the path | what happens |
//! | --- | --- |
//! | nothing | it is made |
//! | a folder with the marker file | what is in it is removed |
//! | anything else, an empty folder too | an error; nothing is touched |

use std::path::Path;

use tidemill_core::{Error, Result};

/// Marks a folder that the demo has made and may remove.
const MARKER: &str = ".tidemill-demo";

/// Makes the folder, empty but for the marker.
///
/// # Errors
/// User, if something is there that the demo has not made; Storage, if it cannot be removed or made.
pub(crate) fn make_anew(folder: &Path) -> Result<()> {
    let cannot =
        |what: &str, e: std::io::Error| Error::storage(format!("cannot {what} {}: {e}", folder.display()));
    match std::fs::symlink_metadata(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(folder).map_err(|e| cannot("make the folder", e))?;
        }
        Err(e) => return Err(cannot("look at", e)),
        Ok(found) if found.is_dir() && folder.join(MARKER).is_file() => {
            clear(folder).map_err(|e| cannot("remove the former demo in", e))?;
        }
        Ok(_) => {
            return Err(Error::user(format!("{} exists and was not made by the demo", folder.display()))
                .hint("the demo makes its folder anew and leaves others alone: move it away, or give another with --lake DIR"));
        }
    }
    let text = "Made by `tidemill demo`, which removes and makes this folder anew each time it runs.\n";
    std::fs::write(folder.join(MARKER), text).map_err(|e| cannot("write into", e))
}

/// Removes everything but the marker, so that a removal that was cut short can be taken up again. Links are removed,
/// not followed.
fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == MARKER {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tidemill_core::ErrorKind;

    use super::*;

    #[test]
    fn an_absent_folder_is_made_and_a_marked_one_made_anew() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/demo");
        make_anew(&folder).unwrap();
        fs::create_dir(folder.join("crimes")).unwrap();
        fs::write(folder.join("crimes/x.parquet"), "x").unwrap();
        make_anew(&folder).unwrap();
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [MARKER]);
    }

    #[test]
    fn what_the_demo_has_not_made_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (file, full, empty) =
            (root.path().join("file"), root.path().join("full"), root.path().join("empty"));
        fs::write(&file, "mine").unwrap();
        fs::create_dir(&full).unwrap();
        fs::write(full.join("mine"), "mine").unwrap();
        fs::create_dir(&empty).unwrap();
        for path in [&file, &full, &empty] {
            assert_eq!(make_anew(path).unwrap_err().kind(), ErrorKind::User, "{}", path.display());
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        assert_eq!(fs::read_to_string(full.join("mine")).unwrap(), "mine");
        assert!(!empty.join(MARKER).exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_folder_is_removed_and_its_target_kept() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("demo");
        make_anew(&folder).unwrap();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("mine"), "mine").unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        make_anew(&folder).unwrap();
        assert!(outside.join("mine").exists() && !folder.join("link").exists());
    }
}
