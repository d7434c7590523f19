//! Figures as one HTML page that needs no network and no script: the drawing, and the values as tables below.

use tidemill_core::Error;

use super::super::html::{STYLE, escaped};
use super::{Figure, svg};

/// The page.
///
/// # Errors
/// Internal: the drawing library failed.
pub(crate) fn html(job: &str, figures: &[Figure]) -> Result<String, Error> {
    let title = escaped(&format!("{job}: figures"));
    let drawing = svg(figures)?;
    let mut tables = String::new();
    for figure in figures {
        let heads: String =
            figure.bars.iter().map(|bar| format!("<th scope=\"col\">{}</th>", escaped(bar))).collect();
        tables.push_str(&format!(
            "<table><caption>{} ({})</caption><thead><tr><th></th>{heads}</tr></thead>\n<tbody>\n",
            escaped(figure.title),
            escaped(figure.unit)
        ));
        for (label, values) in &figure.rows {
            let cells: String = values.iter().map(|value| format!("<td>{value:.2}</td>")).collect();
            tables.push_str(&format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escaped(label)));
        }
        tables.push_str("</tbody></table>\n");
    }
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title><style>{STYLE}</style></head>\n\
         <body>\n{drawing}\n{tables}</body></html>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::figures;
    use super::*;

    #[test]
    fn the_page_has_the_drawing_and_every_value_and_fetches_nothing() {
        let page = html("olist", &figures()).unwrap();
        for part in [
            "<svg",
            "<title>olist: figures",
            "<td>59.70</td>",
            "a&lt;b",
            "<th scope=\"row\">2017-01</th><td>0.00</td>",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http") && !outside.contains("<script"));
    }
}
