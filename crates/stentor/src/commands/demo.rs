//! `stentor demo`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use stentor_hub::Hub;
use stentor_hub::storage::SqliteStorage;
use stentor_server::{Config, Stentor};

use crate::demo::{Program, gallery};
use crate::server::{ListenArgs, run as run_server};

/// Where the logs of the programs are, each in a directory of its own.
const DATA: &str = "./stentor-demo-data";

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// The program to serve alone, at the root, on the port of its original. Without one, all five
    /// and a page that shows them live.
    #[arg(value_enum)]
    name: Option<Program>,

    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,

    #[command(flatten)]
    access: ListenArgs,
}

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let directory = Path::new(DATA).join(args.name.map_or("gallery", Program::name));
    let storage = SqliteStorage::open(&directory)
        .with_context(|| format!("the log in {} cannot be opened", directory.display()))?;
    // The root belongs to the program's own page.
    let config = Config { console: Some("/console".to_owned()), ..Config::default() };
    let stentor = Stentor::with_config(Hub::new(storage), config);
    let demo = args.name.map_or_else(|| gallery(&stentor), |program| program.alone(&stentor));
    let listen = args
        .listen
        .clone()
        .unwrap_or_else(|| format!("127.0.0.1:{}", args.name.map_or(8090, Program::port)));
    run_server(&listen, &args.access, &stentor, demo.router, demo.background)
}
