//! `stentor serve`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use stentor_hub::Hub;
use stentor_hub::storage::SqliteStorage;
use stentor_server::Stentor;

use crate::running::{ListenArgs, run as run_server};

/// Where the log is unless told otherwise.
const DATA: &str = "./stentor-data";

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

    #[command(flatten)]
    access: ListenArgs,
}

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let hub = if args.memory {
        Hub::memory()
    } else {
        let storage = SqliteStorage::open(&args.data)
            .with_context(|| format!("the log in {} cannot be opened", args.data.display()))?;
        Hub::new(storage)
    };
    let stentor = Stentor::new(hub);
    run_server(&args.listen, &args.access, &stentor, stentor.clone(), std::future::pending())
}
