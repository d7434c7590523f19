//! The jobs and SQL that are compiled in, so that the binary alone runs from any folder.

/// `(path in a project, text)` of every built-in file.
pub(super) const FILES: &[(&str, &str)] = &[
    ("jobs/chicago-arrests.toml", include_str!("../../../../jobs/chicago-arrests.toml")),
    ("sql/chicago_arrests/schema.sql", include_str!("../../../../sql/chicago_arrests/schema.sql")),
    ("sql/chicago_arrests/transform.sql", include_str!("../../../../sql/chicago_arrests/transform.sql")),
    ("sql/chicago_arrests/features.sql", include_str!("../../../../sql/chicago_arrests/features.sql")),
    ("sql/chicago_arrests/hotspots.sql", include_str!("../../../../sql/chicago_arrests/hotspots.sql")),
    ("sql/chicago_arrests/messages.sql", include_str!("../../../../sql/chicago_arrests/messages.sql")),
    ("jobs/chicago-crimes.toml", include_str!("../../../../jobs/chicago-crimes.toml")),
    ("sql/chicago_crimes/portal.sql", include_str!("../../../../sql/chicago_crimes/portal.sql")),
    ("sql/chicago_crimes/kaggle.sql", include_str!("../../../../sql/chicago_crimes/kaggle.sql")),
    ("sql/chicago_crimes/spreadsheet.sql", include_str!("../../../../sql/chicago_crimes/spreadsheet.sql")),
    ("jobs/olist-rfm.toml", include_str!("../../../../jobs/olist-rfm.toml")),
    ("sql/olist_rfm/schema.sql", include_str!("../../../../sql/olist_rfm/schema.sql")),
    ("sql/olist_rfm/transform.sql", include_str!("../../../../sql/olist_rfm/transform.sql")),
    ("sql/olist_rfm/customers.sql", include_str!("../../../../sql/olist_rfm/customers.sql")),
    ("sql/olist_rfm/features.sql", include_str!("../../../../sql/olist_rfm/features.sql")),
    ("sql/olist_rfm/segments.sql", include_str!("../../../../sql/olist_rfm/segments.sql")),
    ("sql/olist_rfm/oddities.sql", include_str!("../../../../sql/olist_rfm/oddities.sql")),
    ("sql/olist_rfm/against_olist.sql", include_str!("../../../../sql/olist_rfm/against_olist.sql")),
    ("sql/olist_rfm/messages.sql", include_str!("../../../../sql/olist_rfm/messages.sql")),
];
