//! A disk that loses power or fails.
//!
//! The real binary runs under a shim (`shim.c`) that notes every change to its directory in a [`journal`]
//! and makes calls fail on command. From a journal, a [`disk`] is brought to any moment, and what it may
//! leave when the power fails then is written out and opened by the real binary again; a [`verdict`] says
//! whether it holds what publishers and readers remember.
//!
//! `STENTOR_CRASH_SEED` replays the choices of a run, `STENTOR_POWER_CUTS` says how often its power fails.
//! A C compiler (`cc`) and Linux are needed.

mod content;
mod cuts;
mod disk;
mod examine;
mod failing;
mod full;
mod journal;
mod ledger;
mod machine;
mod new_log;
mod publisher;
mod reader;
mod shim;
mod verdict;
