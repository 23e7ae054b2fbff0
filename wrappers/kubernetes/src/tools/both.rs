//! Two calls of other programs side by side, where neither needs what the other says.

use std::panic::resume_unwind;
use std::thread;

use crate::error::Result;

/// Does both, and waits for both; the first error is that of the first.
pub(crate) fn both<A: Send, B>(
    one: impl FnOnce() -> Result<A> + Send,
    other: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        let one = one.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok((one?, other?))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::error::Error;

    #[test]
    fn both_are_done_at_the_same_time() {
        let meeting = Barrier::new(2);
        let meet = |value| {
            meeting.wait();
            Ok(value)
        };
        assert_eq!(both(|| meet(1), || meet(2)).unwrap(), (1, 2));
    }

    #[test]
    fn the_error_of_either_is_said() {
        let fails = |words: &str| Err::<(), _>(Error::failed(words));
        assert_eq!(both(|| fails("one"), || fails("other")).unwrap_err().to_string(), "one");
        assert_eq!(both(|| Ok(()), || fails("other")).unwrap_err().to_string(), "other");
    }
}
