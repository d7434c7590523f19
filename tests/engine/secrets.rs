//! A job file that is broken where a secret stands: the error says where, never what.

use tidemill_core::project::{Project, Settings};

/// A secret as text and as a number, as somebody may have written either.
const TEXT: &str = "hunter2-of-the-job";
const NUMBER: &str = "73110042";

/// Keys under which secrets stand, each with the heading that it is under.
const PLACES: [(&str, &str); 8] = [
    ("[source.kafka.options]", "\"sasl.password\""),
    ("[source.kafka.options]", "\"ssl.key.password\""),
    ("[source.kafka.options]", "\"client.id\""),
    ("[source.kafka.options.sasl]", "password"),
    ("[source.kafka]", "options"),
    ("[source.kafka]", "password"),
    ("[source]", "api_token"),
    ("", "secret"),
];

/// Ways to break a line, `KEY` and `SECRET` for what stands there.
const BREAKS: [&str; 12] = [
    "KEY = \"SECRET",
    "KEY = 'SECRET",
    "KEY = SECRET",
    "KEY = = \"SECRET\"",
    "KEY = \"SECRET\" \"SECRET\"",
    "KEY = \"${SECRET\"",
    "KEY = \"${X:-SECRET\"",
    "KEY = [\"SECRET\"]",
    "KEY = [\n  \"SECRET\",\n  SECRET\n",
    "KEY = { a = \"SECRET\"",
    "KEY = \"SECRET\"\nKEY = \"SECRET\"",
    "KEY = NUMBER",
];

/// All that the error of the job says.
fn error_of(project: &Project, settings: &Settings) -> String {
    let error = project.stream_job("leaky", settings).unwrap_err();
    format!("{error}\n{}\n{error:?}", error.next_step().unwrap_or_default())
}

#[test]
fn no_error_of_a_broken_job_file_quotes_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("jobs")).unwrap();
    let project = Project::open(folder.path());
    let mut files = 0;
    for (heading, key) in PLACES {
        for broken in BREAKS {
            let line = broken.replace("KEY", key).replace("SECRET", TEXT).replace("NUMBER", NUMBER);
            let text = match heading {
                "" => format!("{line}\n[source]\nformat = \"json\"\n"),
                heading => format!("[source]\nformat = \"json\"\n{heading}\n{line}\n").replacen(
                    "[source]\nformat = \"json\"\n[source]\n",
                    "[source]\n",
                    1,
                ),
            };
            std::fs::write(folder.path().join("jobs/leaky.toml"), &text).unwrap();
            let said = error_of(&project, &Settings::default());
            assert!(!said.contains(TEXT) && !said.contains("hunter2"), "{text}\n{said}");
            assert!(!said.contains(NUMBER), "{text}\n{said}");
            files += 1;
        }
    }
    assert_eq!(files, 96);
}

#[test]
fn what_flags_and_variables_lay_over_a_file_is_not_quoted_either() {
    let project = Project::open(std::path::Path::new("."));
    let set = |key: &str, value: &str| Settings {
        sets: vec![(key.to_owned(), value.to_owned())],
        ..Settings::default()
    };
    let project_error = |settings: &Settings| {
        let error = project.stream_job("chicago-arrests", settings).unwrap_err();
        format!("{error}\n{}", error.next_step().unwrap_or_default())
    };
    let said = project_error(&set("source.kafka.options.token", NUMBER));
    assert!(said.contains("`token`") && !said.contains(NUMBER), "{said}");
    let said = project_error(&set("source.kafka.options", TEXT));
    assert!(said.contains("source.kafka.options") && !said.contains(TEXT), "{said}");
    let said = project_error(&set("source.kafka.bootstrap_servers", &format!("me:{TEXT}@host:9092")));
    assert!(said.contains("sasl.username") && !said.contains(TEXT), "{said}");
}
