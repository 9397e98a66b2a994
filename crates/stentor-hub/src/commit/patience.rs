//! Decides if the wait before an append is worth its processor time.

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

    /// Records a wait. After several waits in vain, the next ones are skipped: 1, 3, 7, then 15.
    pub(super) fn record(&mut self, is_hit: bool) {
        const DOUBLINGS_MAX: u32 = 4;
        self.misses = if is_hit { 0 } else { self.misses.saturating_add(1) };
        self.skips = (1 << self.misses.saturating_sub(1).min(DOUBLINGS_MAX)) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::Patience;

    fn skips(patience: &mut Patience) -> usize {
        (0..100).take_while(|_| !patience.is_worth_it()).count()
    }

    #[test]
    fn waits_in_vain_become_rare_and_one_success_makes_them_usual() {
        let mut patience = Patience::default();
        let after_misses: Vec<_> = (0..8)
            .map(|_| {
                patience.record(false);
                skips(&mut patience)
            })
            .collect();
        assert_eq!(after_misses, [0, 1, 3, 7, 15, 15, 15, 15]);
        patience.record(true);
        assert_eq!(skips(&mut patience), 0);
    }
}
