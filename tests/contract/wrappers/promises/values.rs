//! What people may write into a value or an argument, and no verb may stumble over.

use super::{Home, REQUIRED};

/// Values that a careless quote, split or guess would change, or take for another type; the last two are JSON.
const VALUES: [&str; 12] = [
    "",
    " blanks at both ends \t",
    "two\nlines\n",
    r#"quotes ' " \ \\ \n"#,
    "a=b=c",
    "58467965",
    "1e10",
    "--tag another",
    "* ? [a] ~ ! # & | ; < > ( ) { }",
    "an emoji \u{1f980} and \u{fc}",
    "true",
    r#"{"a":[1,null]}"#,
];

/// What the values do to the inside of a wrapper nobody sees from here; but none may break it, be taken for an argument, or
/// be run. A value that a folder refuses by its `config_check` never reaches a verb.
pub(in super::super) async fn no_text_in_a_value_breaks_a_verb(home: &Home) {
    let trap = home.path().join("trap");
    let touch = format!("touch {}", trap.display());
    let traps = [format!("$({touch})"), format!("`{touch}`"), format!("\";{touch};\""), format!("';{touch};'")];
    let mut staging = home.staging("values");
    for (at, value) in VALUES.into_iter().chain(traps.iter().map(String::as_str)).enumerate() {
        let app = staging.clone().app(&format!("text{at}"), value);
        if app.is_accepted().await {
            staging = app;
        }
        let nested = staging.clone().staging(&format!("nested.text{at}"), value);
        if nested.is_accepted().await {
            staging = nested;
        }
    }
    for verb in ["create", "update"] {
        staging.done(verb).await;
        staging.reaches("check", 0).await;
    }
    if home.has("info") {
        staging.done("info").await;
    }
    staging.done("delete").await;
    staging.reaches("archive_check", 0).await;
    staging.done("cleanup").await;
    assert!(!trap.exists(), "one of these values was run by a shell: {traps:?}");
}

pub(in super::super) async fn an_argument_of_another_contract_is_refused(home: &Home) {
    let staging = home.staging("strange").argument("--from-the-future", "1");
    for verb in REQUIRED {
        let ended = staging.run(verb).await;
        assert!(
            !matches!(ended.code, None | Some(0..=3)),
            "{verb} took --from-the-future, an argument that it cannot know: {ended}"
        );
    }
}
