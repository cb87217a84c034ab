//! Exponential backoff with full jitter, after "Exponential Backoff And Jitter" (AWS Architecture
//! Blog, 2015).

use std::time::Duration;

use rand::Rng as _;
use serde::{Deserialize, Serialize};

/// Delays between attempts that double from `base` to `cap`, each drawn from the whole range, so
/// that what failed together does not come back together.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The greatest delay before the second attempt.
    #[serde(with = "humantime_serde")]
    pub base: Duration,
    /// No delay is greater.
    #[serde(with = "humantime_serde")]
    pub cap: Duration,
}

impl Backoff {
    /// The delay after `attempts` failed ones (1 after the first).
    pub fn delay(&self, attempts: u32) -> Duration {
        rand::rng().random_range(Duration::ZERO..=self.ceiling(attempts))
    }

    /// The greatest delay after `attempts` failed ones.
    fn ceiling(&self, attempts: u32) -> Duration {
        let factor = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_millis(900) };
        let ceilings: Vec<u128> =
            [1, 2, 3, 4, 5, 40, u32::MAX].map(|n| backoff.ceiling(n).as_millis()).to_vec();
        assert_eq!(ceilings, [100, 200, 400, 800, 900, 900, 900]);
        for attempts in 1..50 {
            assert!(backoff.delay(attempts) <= backoff.ceiling(attempts));
        }
    }
}
