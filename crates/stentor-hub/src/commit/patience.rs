//! Decides if the wait before an append is worth its processor time.

/// Number of waits in vain after which the next ones are skipped. Where publishers need about as long as the wait, some
/// of them miss it by chance, and many waits still bring them together.
const MISSES_MAX: u32 = 16;

/// Decides if a wait is worth its processor time, from the results of the last waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// Number of waits in a row that were in vain.
    misses: u32,
    /// Number of waits to skip.
    skips: u32,
}

impl Patience {
    /// Returns `true` if the next wait may take its full time.
    pub(super) fn is_worth_it(&mut self) -> bool {
        let is_worth_it = self.skips == 0;
        self.skips = self.skips.saturating_sub(1);
        is_worth_it
    }

    /// Records a wait. After [`MISSES_MAX`] waits in vain, the next ones are skipped: 1, 3, 7, then 15.
    pub(super) fn record(&mut self, is_hit: bool) {
        const DOUBLINGS_MAX: u32 = 4;
        self.misses = if is_hit { 0 } else { self.misses.saturating_add(1) };
        self.skips = (1 << self.misses.saturating_sub(MISSES_MAX).min(DOUBLINGS_MAX)) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{MISSES_MAX, Patience};

    fn skips(patience: &mut Patience) -> usize {
        (0..100).take_while(|_| !patience.is_worth_it()).count()
    }

    #[test]
    fn waits_in_vain_become_rare_and_one_success_makes_them_usual() {
        let mut patience = Patience::default();
        for _ in 0..MISSES_MAX {
            patience.record(false);
            assert_eq!(skips(&mut patience), 0);
        }
        let after_misses: Vec<_> = (0..6)
            .map(|_| {
                patience.record(false);
                skips(&mut patience)
            })
            .collect();
        assert_eq!(after_misses, [1, 3, 7, 15, 15, 15]);
        patience.record(true);
        assert_eq!(skips(&mut patience), 0);
    }
}
