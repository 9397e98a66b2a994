//! Many readers get each event completely, in order and once, while others connect, leave, or stop reading.

mod catching_up;
mod ends;
mod forms;
mod joining;
mod shards;
mod stopping;
mod stuck;
