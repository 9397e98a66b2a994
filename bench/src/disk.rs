//! The time that the disk takes to sync.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use tokio::time::Instant;

use crate::machine::{SERVER_CORE, pin_thread};
use crate::stats::Times;

/// Appends pages to a file and syncs after each one, on the server's core.
pub(crate) fn sync_times(dir: &Path) -> anyhow::Result<Times> {
    const SYNCS: usize = 500;
    const PAGE: [u8; 4096] = [7; 4096];
    let path = dir.join("sync-probe");
    let measured = std::thread::spawn(move || -> anyhow::Result<Times> {
        pin_thread(SERVER_CORE)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut times = Times::default();
        for _ in 0..SYNCS {
            file.write_all(&PAGE)?;
            let begun = Instant::now();
            file.sync_all()?;
            times.add(begun.elapsed());
        }
        std::fs::remove_file(path)?;
        Ok(times)
    });
    measured.join().map_err(|_| anyhow::anyhow!("the disk probe panicked"))?
}
