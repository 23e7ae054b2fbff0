//! Waiting for a fact, with an end.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;

/// By when something has come about.
pub(crate) fn deadline(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Looks, each second, until there is what is looked for, or the time is over: then there is nothing.
pub(crate) fn until<T>(deadline: Instant, mut look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        thread::sleep(left.min(Duration::from_secs(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_is_there_is_not_waited_for_and_what_never_comes_has_an_end() {
        assert_eq!(until(deadline(60), || Ok(Some(1))).unwrap(), Some(1));
        let mut looks = 0;
        let nothing = until::<()>(deadline(0), || {
            looks += 1;
            Ok(None)
        });
        assert_eq!((nothing.unwrap(), looks), (None, 1));
        assert!(until::<()>(deadline(60), || Err(Error::failed("no"))).is_err());
    }
}
