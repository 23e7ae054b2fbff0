//! The one place in the tests that waits: it looks at a fact again and again until it holds, or a deadline has passed.

use std::future::Future;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` finds something.
///
/// # Panics
/// When `deadline` has passed; the message names `what` was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < deadline, "{what} did not come true within {deadline:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same for tests without a runtime.
///
/// # Panics
/// When `deadline` has passed; the message names `what` was waited for.
pub fn eventually_blocking<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < deadline, "{what} did not come true within {deadline:?}");
        std::thread::sleep(PAUSE);
    }
}

/// Lets time pass between two tries of a client, or two commands of a steady stream: for what keeps a rack busy, never for
/// a test that waits for a fact.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
