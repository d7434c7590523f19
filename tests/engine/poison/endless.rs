//! Messages that are decoded or transformed for ever.

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
