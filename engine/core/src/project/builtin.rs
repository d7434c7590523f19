//! The jobs and SQL that are compiled in, so that the binary alone runs from any folder.

/// Each path with the text of its file.
macro_rules! texts {
    ($($path:literal,)*) => {
        &[$(($path, include_str!(concat!("../../../../", $path)))),*]
    };
}

/// `(path in a project, text)` of every built-in file.
pub(super) const FILES: &[(&str, &str)] = texts![
    "jobs/chicago-arrests.toml",
    "sql/chicago_arrests/schema.sql",
    "sql/chicago_arrests/transform.sql",
    "sql/chicago_arrests/features.sql",
    "sql/chicago_arrests/hotspots.sql",
    "sql/chicago_arrests/messages.sql",
    "jobs/chicago-crimes.toml",
    "sql/chicago_crimes/portal.sql",
    "sql/chicago_crimes/kaggle.sql",
    "sql/chicago_crimes/spreadsheet.sql",
    "sql/chicago_crimes/crimes.sql",
    "jobs/olist.toml",
    "sql/olist/demand_by_category.sql",
    "sql/olist/items_by_month.sql",
    "sql/olist/order_gaps.sql",
    "sql/olist/people_by_city.sql",
    "sql/olist/people_by_state.sql",
    "sql/olist/revenue_by_month.sql",
    "sql/olist/rfm.sql",
    "sql/olist/wide.sql",
    "sql/olist/wide_counts.sql",
    "sql/olist/zip_locations.sql",
    "sql/olist/audits/rfm_counts_every_payment_once.sql",
    "sql/olist/audits/wide_times_follow_their_fills.sql",
    "jobs/online-retail.toml",
    "sql/online_retail/insiders_counts.sql",
    "sql/online_retail/insiders_features.sql",
    "sql/online_retail/insiders_lines.sql",
    "sql/online_retail/lines.sql",
    "sql/online_retail/segments_counts.sql",
    "sql/online_retail/segments_features.sql",
    "sql/online_retail/segments_lines.sql",
    "sql/online_retail/audits/insiders_customers_are_one_invoice_or_named.sql",
    "sql/online_retail/audits/segments_rates_are_shares.sql",
    "jobs/olist-rfm.toml",
    "sql/olist_rfm/schema.sql",
    "sql/olist_rfm/transform.sql",
    "sql/olist_rfm/customers.sql",
    "sql/olist_rfm/features.sql",
    "sql/olist_rfm/segments.sql",
    "sql/olist_rfm/oddities.sql",
    "sql/olist_rfm/against_olist.sql",
    "sql/olist_rfm/messages.sql",
];
