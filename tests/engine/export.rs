//! Models as files for other programs. What onnxruntime says of rows by them is in `tests/peers`.

use std::fs;

use tidemill_core::lake::Lake;

use crate::support::{TestBroker, crimes, job, run, stream_all, texts, tidemill};

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_the_same_file_each_time_and_names_what_it_is_of() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(800, 3));
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    stream_all(&job(&broker.address(), 400, &[]), &Lake::new(folder.path())).await.unwrap();
    let export = |model: &str, output: &str| {
        let output = out.path().join(output);
        run(tidemill(folder.path())
            .args(["models", "export", "chicago-arrests", model, "--output"])
            .arg(output))
    };
    for model in ["logistic", "forest", "tree", "hotspots"] {
        let done = export(model, model);
        assert!(done.status.success(), "{}", texts(&done).1);
        assert!(texts(&done).1.contains(&format!("{model} version 1 is in ")), "{}", texts(&done).1);
        let bytes = fs::read(out.path().join(model)).unwrap();
        assert!(export(&format!("{model}@1"), "again").status.success());
        assert_eq!(fs::read(out.path().join("again")).unwrap(), bytes, "{model}");
        assert!(export(&format!("{model}@0"), "again").status.success());
        assert_ne!(fs::read(out.path().join("again")).unwrap(), bytes, "another version of {model}");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(&format!("Tidemill model chicago_arrests.{model}, version 1: ")));
        assert!(text.contains("FROM crimes") && text.contains("x_coordinate"), "its SELECT and its inputs");
    }
    let before = fs::read(out.path().join("forest")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(out.path().join("forest"), out.path().join("link")).unwrap();
    for (model, output, expected) in [
        ("forst", "forest", "did you mean `forest`?"),
        ("forest@7", "forest", "batches 0 to 1"),
        ("forest@live", "forest", "is called `live`"),
        ("forest", ".", "that is a folder, a link or a device"),
        #[cfg(unix)]
        ("tree", "link", "that is a folder, a link or a device"),
        ("forest", "nowhere/forest.onnx", "there is no such folder"),
    ] {
        let refused = export(model, output);
        assert!(!refused.status.success());
        assert!(texts(&refused).1.contains(expected), "{}", texts(&refused).1);
    }
    assert_eq!(fs::read(out.path().join("forest")).unwrap(), before);
}
