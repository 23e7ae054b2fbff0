//! Pages: bounded in number and in bytes, and together the whole.

use dm_domain::ids::Version;
use dm_domain::overrides::{Value, Values};
use dm_domain::staging::Wish;
use dm_domain::testing::facts;
use dm_eventstore::{NewEvent, Page, Position, Transaction};
use serde_json::value::RawValue;

use super::transact::{cancel, create, name};
use super::{Log, append, stream};

/// From so many bytes on, a page ends.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// About the largest event of DM.
const LARGE: usize = 512 * 1024;

/// An event with a payload of so many bytes, which compresses well or hardly.
fn event(bytes: usize, compressible: bool) -> NewEvent {
    // Hex digits of a linear congruence: as good as random to a compressor, but for their few letters.
    let mut state = 1_u64;
    let digits = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_digit(u32::try_from(state >> 60).unwrap(), 16).unwrap()
    });
    let text: String = if compressible { "a".repeat(bytes - 2) } else { digits.take(bytes - 2).collect() };
    NewEvent { event_type: "Noted", schema: 1, data: RawValue::from_string(format!("\"{text}\"")).unwrap() }
}

fn bytes(page: &Page) -> usize {
    page.events.iter().map(|event| event.data.get().len()).sum()
}

/// Reads page by page to the end; the numbers that came, and how many came with each page.
async fn walk(mut read: impl AsyncFnMut(i64) -> Page, number: impl Fn(&Page) -> Vec<i64>) -> (Vec<i64>, Vec<usize>) {
    let (mut all, mut pages) = (Vec::new(), Vec::new());
    loop {
        let page = read(all.last().copied().unwrap_or_default()).await;
        assert!(bytes(&page) < PAGE_BYTES + LARGE);
        all.extend(number(&page));
        pages.push(page.events.len());
        if !page.more {
            return (all, pages);
        }
    }
}

#[tokio::test]
async fn a_page_ends_with_the_event_that_fills_it_and_the_next_goes_on_after_it() {
    let log = Log::create().await;
    log.store.append(append(&stream("a"), 0, 1)).await.unwrap();
    for version in 1..=20 {
        let mut large = append(&stream("a"), version, 0);
        large.events.push(event(LARGE, version % 2 == 0));
        log.store.append(large).await.unwrap();
    }
    log.store.append(append(&stream("a"), 21, 3)).await.unwrap();

    let everything: Vec<i64> = (1..=24).collect();
    let in_the_log = walk(
        async |after| log.store.read_all(Position(after), 1_000).await.unwrap(),
        |page| page.events.iter().map(|event| event.position.0).collect(),
    );
    assert_eq!(in_the_log.await, (everything.clone(), vec![17, 7]));
    let in_the_stream = walk(
        async |after| log.store.read_stream(&stream("a"), Version(after), 1_000).await.unwrap(),
        |page| page.events.iter().map(|event| event.version.0).collect(),
    );
    assert_eq!(in_the_stream.await, (everything, vec![17, 7]));
}

#[tokio::test]
async fn an_event_larger_than_a_page_is_a_page() {
    let log = Log::create().await;
    let mut larger = append(&stream("a"), 0, 1);
    larger.events.push(event(PAGE_BYTES + 1, true));
    log.store.append(larger).await.unwrap();
    log.store.append(append(&stream("a"), 2, 1)).await.unwrap();

    for (after, expected, more) in [(0, vec![1, 2], true), (1, vec![2], true), (2, vec![3], false)] {
        let page = log.store.read_all(Position(after), 1_000).await.unwrap();
        assert_eq!(page.events.iter().map(|event| event.position.0).collect::<Vec<_>>(), expected);
        assert_eq!(page.more, more);
    }
}

/// A create that leaves about so many bytes in the log.
fn large_create(bytes: usize) -> Transaction {
    let mut wanted = create("a");
    // It stands in the event twice: as what was set, and in the effective configuration.
    let values = Value::Text("v".repeat(bytes / 20));
    let app = (0..10).map(|n| (facts::key(&format!("k{n}")), values.clone())).collect();
    if let Wish::Create(wish) = &mut wanted.command.wish {
        wish.set = Values { app, ..Values::default() };
    }
    wanted
}

#[tokio::test]
async fn a_stream_of_several_pages_of_bytes_is_folded_to_its_end() {
    let log = Log::create().await;
    for _ in 0..20 {
        log.store.transact(large_create(LARGE)).await.unwrap();
        log.store.transact(cancel("a")).await.unwrap();
    }
    let page = log.store.read_stream(&stream("a"), Version::NONE, 1_000).await.unwrap();
    assert!(page.more && page.events.len() < 40, "one page holds the stream: {}", page.events.len());

    let loaded = log.replica().await.load(&name("a")).await.unwrap();
    assert_eq!(loaded.version, Version(40));
    assert_eq!(loaded.state, log.store.load(&name("a")).await.unwrap().state);
}
