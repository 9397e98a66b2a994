//! `stentor serve`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use stentor_hub::Hub;
use stentor_hub::storage::{self, SqliteOptions, SqliteStorage};
use stentor_server::Stentor;

use crate::running::{ListenArgs, run as run_server};

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
    let hub = if args.memory {
        Hub::memory()
    } else {
        let options =
            SqliteOptions { durability: args.durability.into(), ..SqliteOptions::default() };
        let storage = SqliteStorage::open_with(&args.data, options)
            .with_context(|| format!("the log in {} cannot be opened", args.data.display()))?;
        Hub::new(storage)
    };
    let stentor = Stentor::new(hub);
    run_server(&args.listen, &args.access, &stentor, stentor.clone(), std::future::pending())
}
