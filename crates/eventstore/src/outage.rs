//! Whether something that is tried again and again fails at the moment, so that its failure is said once and not at each try.

use std::mem;

/// Something that works, or has failed since a while. At first it works.
#[derive(Debug, Default)]
pub struct Outage(bool);

impl Outage {
    /// It has failed: whether that is new.
    pub fn begins(&mut self) -> bool {
        !mem::replace(&mut self.0, true)
    }

    /// It works: whether it had failed before.
    pub fn ends(&mut self) -> bool {
        mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_once_and_ends_once() {
        let mut outage = Outage::default();
        assert!(!outage.ends());
        assert_eq!([outage.begins(), outage.begins(), outage.begins()], [true, false, false]);
        assert_eq!([outage.ends(), outage.ends()], [true, false]);
        assert!(outage.begins());
    }
}
