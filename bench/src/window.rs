//! A closed loop over a window of time: every caller calls again as soon as it is answered.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What is done before a window begins, so that connections, plans and caches are there.
const WARM_UP: Duration = Duration::from_millis(500);

/// One of those who call at the same time.
pub(crate) trait Caller: Send + 'static {
    /// One call, up to its answer.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// What a window came to; times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Answers for each second.
    pub(crate) rate: f64,
    /// The median time of a call.
    pub(crate) p50: f64,
    /// What 99 of 100 calls stay below.
    pub(crate) p99: f64,
}

/// Lets the callers call for a while; counts the calls that are answered within it.
pub(crate) async fn drive<C: Caller>(callers: Vec<C>, span: Duration) -> Result<Window> {
    let begins = Instant::now() + WARM_UP;
    let ends = begins + span;
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        tasks.spawn(async move {
            let mut took = Vec::new();
            loop {
                let called = Instant::now();
                if called >= ends {
                    return anyhow::Ok(took);
                }
                caller.call().await?;
                let answered = Instant::now();
                if answered >= begins && answered < ends {
                    took.push(answered - called);
                }
            }
        });
    }
    let mut took = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        took.append(&mut ended??);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of calls are far below 2^52")]
    let rate = took.len() as f64 / span.as_secs_f64();
    took.sort_unstable();
    Ok(Window { rate, p50: percentile(&took, 50), p99: percentile(&took, 99) })
}

/// A percentile of sorted times, in milliseconds; 0 of none.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// The median; 0 of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The medians of several windows.
pub(crate) fn medians(windows: &[Window]) -> Window {
    let of = |value: fn(&Window) -> f64| median(windows.iter().map(value));
    Window { rate: of(|window| window.rate), p50: of(|window| window.p50), p99: of(|window| window.p99) }
}

/// The medians of the ratios of windows to those measured just beside them: of rates, and of p99s.
pub(crate) fn ratios(windows: &[Window], beside: &[Window]) -> (f64, f64) {
    let of = |value: fn(&Window) -> f64| {
        median(windows.iter().zip(beside).map(|(window, beside)| value(window) / value(beside)))
    };
    (of(|window| window.rate), of(|window| window.p99))
}
