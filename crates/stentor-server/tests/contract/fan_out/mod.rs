//! One event to many readers: whole, in order and once, whoever else comes, goes, or stops reading.

mod catching_up;
mod ends;
mod forms;
mod joining;
mod shards;
mod stopping;
mod stuck;
