//! Golden files of what people see, in `tests/golden/cli`: wire documents in, text out.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use crate::output::table::Table;

/// The moment at which all golden files are read.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-11-25T12:00:00Z".parse().expect("it is a time")
}

/// A wire document.
pub(crate) fn document<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/../../tests/golden/cli/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the document is there");
    serde_json::from_str(&text).expect("it is of the wire")
}

/// A table on a narrow terminal, on a wide one, and in a pipe.
pub(crate) fn at_each_width(table: &Table) -> String {
    [Some(80), Some(120), None]
        .map(|width| {
            let title = width.map_or_else(|| "piped".to_owned(), |width| format!("{width} columns"));
            format!("--- {title}\n{}\n", table.render(width, true, false))
        })
        .concat()
}

/// Compares a text with its golden file; times are shown in the zone of whoever reads them, so they are masked.
pub(crate) fn assert(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../../../tests/golden/cli",
        prepend_module_to_snapshot => false,
        omit_expression => true,
        filters => vec![(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[date and time    ]")],
    }, {
        insta::assert_snapshot!(name, text);
    });
}
