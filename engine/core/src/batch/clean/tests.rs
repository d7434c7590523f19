//! A form of two columns: what is kept, what is dropped and where a bad cell is.

use std::io::Write;

use super::*;

const FORM: &str = "\
-- Days and numbers.
-- header: Day,N
SELECT CAST(\"N\" AS INT) AS n, \"Day\" AS day, CAST(\"N\" AS INT) * 2 AS twice,
  CASE WHEN \"Day\" LIKE '__/__' THEN 'MM/DD' WHEN \"Day\" IS NOT NULL THEN 'DD' END AS \"_format of Day\"
FROM input
WHERE \"Day\" IS DISTINCT FROM 'never'";

async fn clean(text: &str) -> Result<(Vec<CleanBatch>, SchemaRef)> {
    let forms = Forms {
        table: "t".into(),
        key: "n".into(),
        list: vec![Form::parse("sql/t/days.sql", FORM).unwrap()],
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let mut clean = CleanFile::open(file.path(), &forms).await?;
    let schema = clean.schema().clone();
    let mut batches = Vec::new();
    while let Some(batch) = clean.next_batch().await? {
        batches.push(batch);
    }
    Ok((batches, schema))
}

#[tokio::test]
async fn rows_have_their_line_and_dropped_ones_are_counted() {
    let (batches, schema) = clean("Day,N\n01/02,1\nnever,2\n03/04,\n,4\n").await.unwrap();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["n", "day", "twice", "_file", "_line"]);
    let [batch] = batches.as_slice() else { panic!("{} batches", batches.len()) };
    assert_eq!(batch.rows.column_by_name("_line").unwrap().as_primitive::<Int64Type>().values(), &[2, 5]);
    let dropped: Vec<(&str, u64)> =
        batch.dropped.iter().map(|(reason, rows)| (reason.as_str(), *rows)).collect();
    assert_eq!((batch.read, dropped), (4, vec![("filtered", 1), ("no n", 1)]));
}

#[tokio::test]
async fn the_first_bad_cell_is_named_by_line_and_column() {
    let good = "01/02,1\n".repeat(9_000);
    let error = clean(&format!("Day,N\n{good}01/02,x1\n01/02,x2\n")).await.err().unwrap();
    assert!(
        error.to_string().contains(", line 9002, column N: ") && error.to_string().contains("x1"),
        "{error}"
    );
    assert!(error.next_step().unwrap().contains("`days`"), "{error}");
}

#[tokio::test]
async fn two_formats_in_one_column_are_refused_also_across_batches() {
    let good = "01/02,1\n".repeat(9_000);
    let error = clean(&format!("Day,N\n\n{good}3,1\n")).await.err().unwrap();
    let text = error.to_string();
    assert!(
        text.ends_with("line 9003, column Day: two formats in one column: DD here, MM/DD on line 3"),
        "{text}"
    );
}

#[tokio::test]
async fn a_header_of_no_known_form_names_the_known_ones() {
    let error = clean("Day,M\n1,2\n").await.err().unwrap();
    assert!(error.to_string().contains("line 1: the header is of no known form"), "{error}");
    assert!(error.next_step().unwrap().contains("days: Days and numbers.\n  Day,N"), "{error}");
}
