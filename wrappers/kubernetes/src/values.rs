//! From what DM hands a wrapper to the values of a helm chart, and from a chart's values to defaults.
//!
//! Pure: files, settings and helm are the caller's. What a chart accepts beyond the types of texts is judged by helm.
#![expect(dead_code, reason = "what calls this comes with its own change")]

mod json;
mod path;
mod schema;
