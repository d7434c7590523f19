//! A chart as one HTML page that needs no network: drawn by plotly (zoom, values under the pointer, lines switched off
//! in the legend), its script in the page, and the values as a table below.

use plotly::common::{DashType, Line as Stroke, Mode, Title};
use plotly::layout::{Axis, HoverMode, Shape, ShapeLine, ShapeType, TicksDirection};
use plotly::{Configuration, Layout, Plot, Scatter};

use super::Chart;

pub(super) const STYLE: &str = "body{font:15px/1.4 sans-serif;color:#222;margin:24px auto;max-width:960px;padding:0 12px}\
     body>svg{width:100%;height:auto}.chart{height:480px}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
     th,td{padding:3px 12px;text-align:right;border-bottom:1px solid #ddd}thead th{border-bottom:2px solid #555}";

/// The page: each chart with its values below it.
pub(crate) fn html(charts: &[Chart]) -> String {
    let title = charts.first().map_or_else(String::new, |chart| escaped(&chart.title));
    let scripts = Plot::offline_js_sources();
    let body: String = (0..).zip(charts).map(|(number, chart)| section(number, chart)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title><style>{STYLE}</style>\n{scripts}</head>\n\
         <body>\n{body}</body></html>\n"
    )
}

fn section(number: usize, chart: &Chart) -> String {
    let x_title = chart.x_title;
    let drawing = plot(chart).to_inline_html(Some(&format!("chart{number}")));
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
    format!(
        "<div class=\"chart\">{drawing}</div>\n<table><caption>{}</caption><thead><tr><th scope=\"col\">{x_title}</th>{heads}</tr></thead>\n\
         <tbody>\n{rows}</tbody></table>\n",
        escaped(&chart.y_title)
    )
}

/// The lines as plotly draws them: the same colours and dashes as in the other forms, a gap where a batch has no value.
fn plot(chart: &Chart) -> Plot {
    let mut plot = Plot::new();
    for line in &chart.lines {
        let (batches, values) = with_gaps(line.series.runs());
        let dash = if line.dashed { DashType::Dash } else { DashType::Solid };
        let stroke = Stroke::new().color(line.color.hex()).dash(dash).width(2.0);
        // A name is HTML to plotly.
        plot.add_trace(
            Scatter::new(batches, values)
                .name(escaped(&line.label))
                .mode(Mode::LinesMarkers)
                .connect_gaps(false)
                .line(stroke),
        );
    }
    let axis =
        |title: &str| Axis::new().title(Title::with_text(escaped(title))).ticks(TicksDirection::Outside);
    let mark = chart.mark.as_ref().map(|(at, label)| {
        Shape::new()
            .shape_type(ShapeType::Line)
            .x0(*at)
            .x1(*at)
            .y_ref("paper")
            .y0(0)
            .y1(1)
            .line(ShapeLine::new().color("#555555").width(1.0).dash(DashType::Dot))
            .name(escaped(label))
    });
    plot.set_layout(
        Layout::new()
            .shapes(mark.into_iter().collect())
            .title(Title::with_text(escaped(&chart.title)))
            .hover_mode(HoverMode::XUnified)
            .x_axis(axis(chart.x_title))
            .y_axis(axis(&chart.y_title).range(vec![chart.values.0, chart.values.1])),
    );
    plot.set_configuration(Configuration::new().responsive(true).display_logo(false));
    plot
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Points with an empty one between runs, where plotly then breaks the line.
fn with_gaps(runs: Vec<Vec<(u64, f64)>>) -> (Vec<u64>, Vec<Option<f64>>) {
    let (mut batches, mut values) = (Vec::new(), Vec::new());
    for run in runs {
        if let (Some(&last), Some(_)) = (batches.last(), run.first()) {
            batches.push(last + 1);
            values.push(None);
        }
        for (batch, value) in run {
            batches.push(batch);
            values.push(Some(value));
        }
    }
    (batches, values)
}

#[cfg(test)]
mod tests {
    use super::super::tests::chart;
    use super::*;

    #[test]
    fn the_page_has_every_line_and_value_and_fetches_nothing() {
        let page = html(&[chart(), chart().marked(2, "elbow".into())]);
        for part in [
            "Plotly.newPlot",
            "id=\"chart0\"",
            "id=\"chart1\"",
            ">forest, prequential</th>",
            ">a&lt;b, hold-out</th>",
            "<tr><th scope=\"row\">2</th><td></td><td>0.8400</td><td>0.7800</td></tr>",
            "<tr><th scope=\"row\">3</th><td>0.8750</td><td>0.8600</td><td></td></tr>",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        // plotly's buttons are drawings too: a rule for every svg blows them up over the chart.
        assert!(!STYLE.contains("}svg{"), "{STYLE}");
        for fetch in ["<script src=", "<link", "cdn.plot.ly/plotly"] {
            assert!(!page.contains(fetch), "{fetch}");
        }
    }

    #[test]
    fn a_line_keeps_its_gaps_its_colour_and_its_dash() {
        let json: serde_json::Value = serde_json::from_str(&plot(&chart()).to_json()).unwrap();
        let lines = json["data"].as_array().unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["y"], serde_json::json!([0.81, 0.85, null, 0.875, 0.88]));
        assert_eq!(lines[0]["line"]["color"], lines[1]["line"]["color"]);
        assert_eq!((&lines[0]["line"]["dash"], &lines[1]["line"]["dash"]), (&"solid".into(), &"dash".into()));
        assert_eq!(lines[2]["name"], "a&lt;b, hold-out");
        assert_eq!(lines[2]["x"], serde_json::json!([0, 1, 2, 3, 4]));
        assert_eq!(lines[2]["y"][3], serde_json::Value::Null, "a batch without an entry is a gap");
    }
}
