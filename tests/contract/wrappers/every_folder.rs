//! Tries every promise on the folder that is named, and on those of this repository's pages.
//!
//! `broken.rs` holds that each promise can be broken.

mod broken;
mod pages;

use super::harness::Home;
use super::promises::{self, every_promise};

/// Makes each promise a test of its own, for the folder that is tried and for those of the pages.
macro_rules! tried {
    ($($promise:ident)*) => {
        mod folder {
            use super::{Home, promises};

            $(
                #[tokio::test]
                async fn $promise() {
                    promises::$promise(&Home::new().await).await;
                }
            )*
        }
        tried!(readme: $($promise)*);
        tried!(guide_in_bash: $($promise)*);
        tried!(guide_in_rust: $($promise)*);
    };
    ($page:ident: $($promise:ident)*) => {
        mod $page {
            use super::{Home, pages, promises};

            $(
                #[tokio::test]
                async fn $promise() {
                    let folder = pages::$page();
                    promises::$promise(&Home::of(folder.path()).await).await;
                }
            )*
        }
    };
}

every_promise!(tried);
