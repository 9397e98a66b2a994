//! The tools of `stentor log`: they read a log from outside, also while a server uses it, or create a new one.
//!
//! ```text
//! SqliteLog -> info      facts about the log
//!           -> verify    finds damage
//!           -> backup    copies the log     -> draft    a directory that gets a complete log or none
//!           -> export    pages of records
//!    import -> line      parses an export   -> draft
//!    repair -> rebuild   a new log from the sound rows, in place of the damaged one
//!    set_time            sets the times of records back
//! ```
//!
//! Reading takes no lock and does not change the file.

mod accept_loss;
mod backup;
mod draft;
mod error;
mod export;
mod import;
mod info;
mod line;
mod log;
mod log_row;
mod migration_backup;
mod repair;
mod set_time;
mod verify;

pub use self::accept_loss::DroppedWal;
pub use self::backup::BackedUp;
pub use self::error::ToolError;
pub use self::export::{Export, ExportFrom, Exported};
pub use self::import::Imported;
pub use self::info::LogInfo;
pub use self::log::SqliteLog;
pub(super) use self::migration_backup::back_up_before_migration;
pub use self::repair::{RepairOptions, Repaired};
pub use self::set_time::TimeSet;
pub use self::verify::{Finding, VerifyNote};
