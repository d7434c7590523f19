//! A chart as one HTML page that needs no network and no script: the drawing, and its values as a table below.

use tidemill_core::Error;

use super::{Chart, X_TITLE, svg};

const STYLE: &str = "body{font:15px/1.4 sans-serif;color:#222;margin:24px auto;max-width:960px;padding:0 12px}\
     svg{width:100%;height:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
     th,td{padding:3px 12px;text-align:right;border-bottom:1px solid #ddd}thead th{border-bottom:2px solid #555}";

/// The page.
///
/// # Errors
/// Internal: the drawing library failed.
pub(crate) fn html(chart: &Chart) -> Result<String, Error> {
    let title = escaped(&chart.title);
    let drawing = svg(chart)?;
    let heads: String = chart
        .lines
        .iter()
        .map(|line| {
            format!(
                "<th scope=\"col\" style=\"border-bottom-color:{}\">{}</th>",
                line.color.hex(),
                escaped(&line.label)
            )
        })
        .collect();
    let mut rows = String::new();
    for batch in chart.batches.0..=chart.batches.1 {
        rows.push_str(&format!("<tr><th scope=\"row\">{batch}</th>"));
        for line in &chart.lines {
            let found = line.series.points.iter().find(|point| point.0 == batch).and_then(|point| point.1);
            rows.push_str(&found.map_or("<td></td>".to_owned(), |value| format!("<td>{value:.4}</td>")));
        }
        rows.push_str("</tr>\n");
    }
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title><style>{STYLE}</style></head>\n\
         <body>\n{drawing}\n<table><caption>{}</caption><thead><tr><th scope=\"col\">{X_TITLE}</th>{heads}</tr></thead>\n\
         <tbody>\n{rows}</tbody></table>\n</body></html>\n",
        escaped(&chart.y_title)
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::tests::chart;
    use super::*;

    #[test]
    fn the_page_has_the_drawing_and_every_value_and_fetches_nothing() {
        let page = html(&chart()).unwrap();
        for part in [
            "<svg",
            ">forest, prequential</th>",
            ">a&lt;b, hold-out</th>",
            "<tr><th scope=\"row\">2</th><td></td><td>0.8400</td><td>0.7800</td></tr>",
            "<tr><th scope=\"row\">3</th><td>0.8750</td><td>0.8600</td><td></td></tr>",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        for fetch in ["src=", "href=", "<script", "url("] {
            assert!(!page.contains(fetch), "{fetch}");
        }
    }
}
