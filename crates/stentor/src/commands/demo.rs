//! `stentor demo`.

use std::path::PathBuf;
use std::process::ExitCode;

use stentor_hub::Hub;
use stentor_hub::storage::{SqliteOptions, SqliteStorage};
use stentor_server::{Config, Stentor};

use crate::demo::{App, gallery};
use crate::files::with_log;
use crate::retain::Size;
use crate::server::{Banner, ListenArgs, run as run_server, server_config};
use crate::values::listen_address;

/// Port of the gallery.
const GALLERY_PORT: u16 = 8090;

/// Path of the web console; the page of the app is at the root.
const CONSOLE: &str = "/console";

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Run only this app, at `/`, on its own port, which the list of names shows. Without a name: all five
    /// and a page that shows them live, on port 8090.
    #[arg(value_enum)]
    name: Option<App>,

    /// Address to listen on; port 0 picks a free port [default: 127.0.0.1:8090, or the port of NAME].
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    listen: Option<String>,

    /// Directory of the data. The gallery and each app have a subdirectory.
    #[arg(long, value_name = "DIR", default_value = "./stentor-demo-data")]
    data: PathBuf,

    #[command(flatten)]
    access: ListenArgs,
}

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let port = args.name.map_or(GALLERY_PORT, App::port);
    let listen = args.listen.clone().unwrap_or_else(|| format!("127.0.0.1:{port}"));
    let address = args.access.resolve(&listen)?;
    let directory = args.data.join(args.name.map_or("gallery", App::name));
    let storage = SqliteStorage::open(&directory)
        .map_err(|error| with_log(error, "cannot open the log in", &directory))?;
    let limit = Size(SqliteOptions::default().bytes_max).describe();
    let title = match args.name {
        Some(app) => format!("demo {}", app.name()),
        None => "demo".to_owned(),
    };
    let banner = Banner {
        title: Banner::title(format!("{title}, data in {} ({limit})", directory.display())),
        console: Some(CONSOLE),
        example: None,
    };
    let config = Config { console: Some(CONSOLE.to_owned()), ..server_config() };
    let stentor = Stentor::with_config(Hub::new(storage), config);
    let demo = args.name.map_or_else(|| gallery(&stentor), |app| app.alone(&stentor));
    run_server(address, &args.access, &banner, &stentor, demo.router, demo.background)
}
