//! Messages that are decoded or transformed for ever.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tidemill_core::records::Condemned;

use super::{Folder, LETTERS, MARK, messages, succeeded};
use crate::support::run;

/// One that never ends is found too, by a limit of time: no start before came to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_an_end_is_a_dead_letter_once_it_has_had_its_time() {
    let mut all = messages(300);
    all[200] = Some(format!(r#"{{"n":200,"s":"{MARK}"}}"#).into_bytes());
    let folder = Folder::new(1, &all).await;
    for (lake, stage, doing) in [("d", "decode", "decoding"), ("t", "transform", "transforming")] {
        folder.be_killed_three_times(lake, "s");
        let mut fourth = folder.stream(lake, "s", &format!("{stage}:{MARK}:wait"));
        let began = Instant::now();
        succeeded(&run(fourth.args(["--set", "source.message_timeout=2s"])));
        // 300 messages, 18, one of them and the one alone: so many limits, and 10 ms for each.
        assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
        let reason = format!("{doing} it took longer than 2s, tried alone");
        let letter = format!(r#"0|200|{stage}|{reason}|{{"n":200,"s":"MARK"}}"#);
        assert_eq!(folder.rows(lake, LETTERS).await, [letter]);
        assert_eq!(
            folder.commit(lake, "s", 0).read.condemned,
            [Condemned { partition: 0, offset: 200, reason: reason.clone() }]
        );
        let counts = "SELECT count(*), count(DISTINCT _offset) FROM seen";
        assert_eq!(folder.rows(lake, counts).await, ["299|299"]);
        folder.doctor_finds_nothing(lake);
        // Where it ends after all, a replay makes it a row.
        succeeded(&folder.replay(lake, "s", ""));
        assert_eq!(folder.rows(lake, "SELECT n, s FROM seen WHERE s = 'MARK'").await, ["200|MARK"]);
    }
}

/// The driver's own try of it has the same time, and begins anew by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_meets_a_message_without_an_end_begins_anew_by_itself() {
    let mut all = messages(300);
    all[200] = Some(format!(r#"{{"n":200,"s":"{MARK}"}}"#).into_bytes());
    let folder = Folder::new(1, &all).await;
    for (lake, stage) in [("d", "decode"), ("t", "transform")] {
        let output = run(folder
            .stream(lake, "s", &format!("{stage}:{MARK}:wait"))
            .args(["--set", "source.message_timeout=2s"]));
        succeeded(&output);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.matches("the driver begins anew").count(), 1, "{said}");
        assert_eq!(folder.commit(lake, "s", 0).read.condemned.len(), 1);
        let counts = "SELECT count(*), count(DISTINCT _offset) FROM seen";
        assert_eq!(folder.rows(lake, counts).await, ["299|299"]);
        folder.doctor_finds_nothing(lake);
    }
    // One that is asked to stop meanwhile does not begin anew: the next start guards the batch.
    let said = std::fs::File::create(folder.said()).unwrap();
    let mut waits = folder.stream("s", "s", &format!("decode:{MARK}:wait"));
    waits.args(["--set", "source.message_timeout=4s"]).stdout(Stdio::null()).stderr(said);
    let mut waits = waits.spawn().unwrap();
    folder.wait_for(|| folder.names("s", "s", "offsets") == ["0.json"], "a plan");
    Command::new("kill").arg(waits.id().to_string()).status().unwrap();
    assert_eq!(waits.wait().unwrap().code(), Some(1));
    assert_eq!(folder.names("s", "s", "attempts"), ["0.2.json", "0.3.json"]);
    assert!(std::fs::read_to_string(folder.said()).unwrap().contains("start the stream again"));
    succeeded(&run(&mut folder.stream("s", "s", "")));
    assert_eq!(folder.rows("s", "SELECT count(*) FROM seen").await, ["300"]);
}

/// What was there when the user began it is taken, and nothing more, although another process ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_begins_anew_takes_what_was_there_at_first() {
    let mut all = messages(300);
    all[200] = Some(format!(r#"{{"n":200,"s":"{MARK}"}}"#).into_bytes());
    let folder = Folder::new(2, &all).await;
    let said = std::fs::File::create(folder.said()).unwrap();
    let mut driver = folder.stream("lake", "s", &format!("decode:{MARK}:wait"));
    driver.args(["--set", "source.message_timeout=2s", "--set", "source.max_offsets_per_trigger=120"]);
    let mut driver = driver.stdout(Stdio::null()).stderr(said).spawn().unwrap();
    folder.wait_for(|| folder.names("lake", "s", "offsets").contains(&"1.json".to_owned()), "a second plan");
    folder.broker.send(&folder.broker.topic, 2, &messages(500));
    let ended = driver.wait().unwrap();
    let said = std::fs::read_to_string(folder.said()).unwrap();
    assert!(ended.success(), "{said}");
    assert_eq!(said.matches("the driver begins anew").count(), 1, "{said}");
    let counts = "SELECT count(*), count(DISTINCT n), max(_offset) FROM seen";
    assert_eq!(folder.rows("lake", counts).await, ["299|299|149"]);
    // The next run takes the rest.
    succeeded(&run(&mut folder.stream("lake", "s", "")));
    assert_eq!(folder.rows("lake", "SELECT count(*) FROM seen").await, ["799"]);
}

/// The sockets and pipes that a process has besides its input and outputs. No two of a machine have one name.
fn sockets_and_pipes(process: u32) -> BTreeSet<String> {
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten();
    let is_own = |entry: &std::fs::DirEntry| !["0", "1", "2"].map(Into::into).contains(&entry.file_name());
    descriptors
        .filter_map(Result::ok)
        .filter(is_own)
        .filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        .filter(|name| name.starts_with("socket:") || name.starts_with("pipe:"))
        .collect()
}

/// The children that a process has.
fn children(process: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap();
    let numbers = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_child = |number: &u32| {
        let said = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let after_name = said.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        after_name.split(' ').nth(1) == Some(&process.to_string())
    };
    numbers.filter(is_child).collect()
}

/// Its sockets would never be closed, a dozen more each time; what the user gave it is still there.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_begins_anew_leaves_nothing_open() {
    if !Path::new("/proc/self/fd").exists() {
        eprintln!("left out: there is no /proc here");
        return;
    }
    let mut all = messages(300);
    all[200] = Some(format!(r#"{{"n":200,"s":"{MARK}"}}"#).into_bytes());
    let folder = Folder::new(1, &all).await;
    let stream = folder.stream("lake", "s", &format!("decode:{MARK}:wait"));
    let mut driver = Command::new("bash");
    driver.args(["-c", r#"exec "$0" "$@" 9<"$0""#]).arg(stream.get_program()).args(stream.get_args());
    driver.args(["--set", "source.message_timeout=3s"]);
    for (name, value) in stream.get_envs() {
        match value {
            Some(value) => driver.env(name, value),
            None => driver.env_remove(name),
        };
    }
    let said = std::fs::File::create(folder.said()).unwrap();
    let mut driver = driver.stdout(Stdio::null()).stderr(said).spawn().unwrap();
    folder.wait_for(|| folder.names("lake", "s", "offsets") == ["0.json"], "a plan");
    // It waits for a message that has no end: what it has open, it keeps until then.
    std::thread::sleep(Duration::from_secs(1));
    // What this process was given itself, by who runs the tests, it gives on.
    let given = sockets_and_pipes(std::process::id());
    let of = |process| sockets_and_pipes(process).difference(&given).cloned().collect::<BTreeSet<_>>();
    let before = of(driver.id());
    assert!(before.len() > 5, "{before:?}");
    let is_anew = || std::fs::read_to_string(folder.said()).unwrap().contains("the driver begins anew");
    folder.wait_for(is_anew, "another beginning");
    folder.wait_for(|| !children(driver.id()).is_empty(), "a child");
    let after = of(driver.id());
    assert_eq!(before.intersection(&after).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(Path::new(&format!("/proc/{}/fd/9", driver.id())).exists());
    // Until it is this program, a child has all that its parent has.
    let has_none = || {
        let children = children(driver.id());
        let of_children = children.iter().flat_map(|child| sockets_and_pipes(*child)).collect();
        !children.is_empty() && after.is_disjoint(&of_children)
    };
    folder.wait_for(has_none, "a child that has nothing of the driver's");
    assert!(driver.wait().unwrap().success());
    assert_eq!(folder.rows("lake", "SELECT count(*) FROM seen").await, ["299"]);
}
