//! `stentor serve`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use stentor_hub::storage::{self, SqliteOptions, SqliteStorage, Storage};
use stentor_hub::{Hub, MemoryStorage, Offset};
use stentor_server::Stentor;

use crate::retain::{RetainArgs, Size};
use crate::server::{ListenArgs, run as run_server};

/// Where the log is unless told otherwise.
pub(crate) const DATA: &str = "./stentor-data";

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", env = "STENTOR_LISTEN")]
    listen: String,

    /// The directory of the log, made if there is none.
    #[arg(long, value_name = "DIR", default_value = DATA, env = "STENTOR_DATA")]
    data: PathBuf,

    /// Keep the log in memory: history ends with the program.
    #[arg(long, conflicts_with = "data")]
    memory: bool,

    /// What an event that was acknowledged survives: `fsync`, also the loss of power, or `os`, the end of
    /// the program but not of the system.
    #[arg(long, value_enum, value_name = "HOW", default_value_t, env = "STENTOR_DURABILITY")]
    #[arg(hide_possible_values = true, conflicts_with = "memory")]
    durability: Durability,

    #[command(flatten)]
    retain: RetainArgs,

    #[command(flatten)]
    access: ListenArgs,
}

/// See [`storage::Durability`].
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Durability {
    #[default]
    Fsync,
    Os,
}

impl From<Durability> for storage::Durability {
    fn from(durability: Durability) -> storage::Durability {
        match durability {
            Durability::Fsync => storage::Durability::Fsync,
            Durability::Os => storage::Durability::Os,
        }
    }
}

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let retention = args.retain.retention()?;
    let stentor = Stentor::new(if args.memory { in_memory(args) } else { on_disk(args)? });
    let hub = stentor.hub().clone();
    let background = async move {
        tokio::join!(hub.enforce_retention(retention), hub.watch_leases());
    };
    run_server(&args.listen, &args.access, &stentor, stentor.clone(), background)
}

fn in_memory(args: &ServeArgs) -> Hub {
    let bytes = args.retain.retain_bytes.map(|size| size.0.unwrap_or(u64::MAX));
    let bytes = bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let bytes = bytes.unwrap_or(MemoryStorage::BYTES);
    Hub::with_window(MemoryStorage::with_bytes(bytes), window(bytes as u64))
}

fn on_disk(args: &ServeArgs) -> anyhow::Result<Hub> {
    let mut options = SqliteOptions { durability: args.durability.into(), ..Default::default() };
    if let Some(size) = args.retain.retain_bytes {
        options.bytes_max = size.0;
    }
    let storage = SqliteStorage::open_with(&args.data, options)
        .with_context(|| format!("the log in {} cannot be opened", args.data.display()))?;
    if storage.bounds().tail == Offset::ZERO {
        say_limit(args, Size(options.bytes_max));
    }
    Ok(Hub::with_window(storage, window(options.bytes_max.unwrap_or(u64::MAX))))
}

/// How large the live window is: well below what the log holds, so that it never shows what has left it.
fn window(bytes_max: u64) -> usize {
    usize::try_from(bytes_max / 2).map_or(Hub::WINDOW_BYTES, |half| half.min(Hub::WINDOW_BYTES))
}

/// Whoever begins a log is told once that it does not grow for ever.
fn say_limit(args: &ServeArgs, size: Size) {
    let dir = args.data.display();
    match size.0 {
        Some(_) => eprintln!(
            "the log in {dir} keeps up to {size}, then its oldest events go; --retain-bytes and --retain \
             change that"
        ),
        None => eprintln!("the log in {dir} keeps everything until the disk is full"),
    }
}
