//! Chance that can be repeated: every number follows from a seed. Knows nothing of DM.

/// Numbers that look thrown and follow from a seed (`SplitMix64`, by Steele, Lea and Flood).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From a seed and what the numbers are for, so that each purpose has its own, whoever asks first.
    pub fn of(seed: u64, purpose: &[&str]) -> Self {
        // FNV-1a; the byte between two parts stands in none of them.
        let bytes = purpose.iter().flat_map(|part| part.bytes().chain([0xff]));
        Self(
            bytes.fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            }),
        )
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.number() % (most.saturating_sub(least) + 1)
    }

    /// True in so many of 100 cases.
    pub fn percent(&mut self, share: u64) -> bool {
        self.number() % 100 < share
    }

    /// One of several.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.between(0, from.len() as u64 - 1);
        &from[usize::try_from(at).expect("an index")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_purpose_give_the_same_numbers_and_others_give_others() {
        let throw = |seed, purpose: &[&str]| {
            let mut dice = Dice::of(seed, purpose);
            [dice.number(), dice.number()]
        };
        assert_eq!(throw(1, &["a", "b"]), throw(1, &["a", "b"]));
        assert_ne!(throw(1, &["a", "b"]), throw(2, &["a", "b"]));
        assert_ne!(throw(1, &["a", "b"]), throw(1, &["ab", ""]));
        let mut dice = Dice::new(7);
        let thrown: Vec<u64> = (0..1_000).map(|_| dice.between(3, 5)).collect();
        assert!((3..=5).all(|number| thrown.contains(&number)) && thrown.iter().all(|number| (3..=5).contains(number)));
    }
}
