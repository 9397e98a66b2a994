//! The write-ahead log of a run that did not end well.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::schema;

/// Writes a write-ahead log once more as it reads, and syncs it.
///
/// If the run before ended with a failed sync, the system may show bytes that are not on the disk and that no
/// later sync would bring there, for it takes them for written. Whatever is recovered from them, and all that
/// is appended behind them, would be gone with the power.
pub(super) fn bring_to_disk(dir: &Path) -> io::Result<()> {
    /// Read and written at a time.
    const PIECE: usize = 1 << 20;
    let file = match OpenOptions::new().read(true).write(true).open(dir.join(schema::WAL_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let read = match file.read_at(&mut piece, at) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        file.write_all_at(piece.get(..read).unwrap_or_default(), at)?;
        at += read as u64;
    }
    file.sync_all()
}
