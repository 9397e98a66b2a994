//! `stentor serve`.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use stentor_hub::storage::{self, SqliteOptions, SqliteStorage};
use stentor_hub::{Hub, KeyLimits, MemoryStorage};
use stentor_server::{Config, Stentor};

use crate::duration;
use crate::files::with_log;
use crate::keys::KeyArgs;
use crate::retain::{RetainArgs, Size};
use crate::server::{Banner, ListenArgs, run as run_server, server_config};
use crate::usage::UsageError;
use crate::values::listen_address;

/// Default directory of the log.
pub(crate) const DATA: &str = "./stentor-data";

/// Bounds of `--keep-alive`.
const KEEP_ALIVE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on; port 0 picks a free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", env = "STENTOR_LISTEN")]
    #[arg(value_parser = listen_address)]
    listen: String,

    /// Directory of the log; it is created if missing.
    #[arg(long, value_name = "DIR", default_value = DATA, env = "STENTOR_DATA")]
    data: PathBuf,

    /// Keep the log in memory only; history is lost when the server stops.
    #[arg(long)]
    memory: bool,

    /// Durability of an acknowledged event. `fsync`: survives power loss. `os`: survives a crash of the
    /// server, but not of the machine.
    #[arg(long, value_enum, value_name = "HOW", default_value_t, env = "STENTOR_DURABILITY")]
    #[arg(hide_possible_values = true)]
    durability: Durability,

    /// Do not back up a log of an older format before its migration.
    #[arg(long)]
    no_backup: bool,

    /// Time of silence after which a stream gets a keep-alive, varied by 20 %: 1s to 1h. It must be less
    /// than the idle timeout of every proxy on the way.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = keep_alive)]
    keep_alive: Duration,

    #[command(flatten)]
    retain: RetainArgs,

    #[command(flatten)]
    keys: KeyArgs,

    #[command(flatten)]
    access: ListenArgs,
}

/// Command-line form of [`storage::Durability`].
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

/// Parses the time between keep-alives.
fn keep_alive(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    if KEEP_ALIVE.contains(&time) {
        return Ok(time);
    }
    Err("expected a time from 1s to 1h, such as 15s or 2m; below 60s, proxies do not take a stream for idle".to_owned())
}

/// Refuses `--memory` together with options for a log on disk. A variable does not conflict: it can be set
/// for other runs.
///
/// # Errors
/// The command line has both.
pub(crate) fn check_conflicts(matches: &ArgMatches) -> Result<(), clap::Error> {
    let is_given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    match ["data", "durability"].iter().find(|id| is_given(id)) {
        Some(option) if matches.get_flag("memory") => {
            let message = format!("--memory keeps no log on disk; leave out --{option}\n");
            Err(clap::Error::raw(ErrorKind::ArgumentConflict, message))
        }
        _ => Ok(()),
    }
}

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let retention =
        args.retain.retention().map_err(|error| UsageError::new(format!("--retain: {error}")))?;
    let address = args.access.resolve(&args.listen)?;
    let (hub, data) = if args.memory { in_memory(args) } else { on_disk(args)? };
    let banner = Banner {
        title: Banner::title(data),
        console: Some("/"),
        example: Some(("-d hello", "/topics/news")),
    };
    let config = Config { keep_alive: args.keep_alive, ..server_config() };
    let stentor = Stentor::with_config(hub, config);
    let background = stentor.run_background(retention);
    run_server(address, &args.access, &banner, &stentor, stentor.clone(), background)
}

/// Returns a hub and the description of its data for the banner.
fn in_memory(args: &ServeArgs) -> (Hub, String) {
    let size = args.retain.retain_bytes.unwrap_or(Size(Some(MemoryStorage::BYTES as u64)));
    let bytes = size.0.unwrap_or(u64::MAX);
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let keys = args.keys.limits(KeyLimits::memory());
    let hub = Hub::with_window(MemoryStorage::with_options(bytes, keys), window(bytes as u64));
    (hub, format!("data in memory only ({size})", size = size.describe()))
}

/// Returns a hub and the description of its data for the banner.
fn on_disk(args: &ServeArgs) -> anyhow::Result<(Hub, String)> {
    let mut options = SqliteOptions {
        durability: args.durability.into(),
        keys: args.keys.limits(KeyLimits::sqlite()),
        ..Default::default()
    };
    options.migration_backup = !args.no_backup;
    if let Some(size) = args.retain.retain_bytes {
        options.bytes_max = size.0;
    }
    let data = args.data.display();
    let storage = SqliteStorage::open_with(&args.data, options)
        .map_err(|error| with_log(error, "cannot open the log in", &args.data))?;
    let hub = Hub::with_window(storage, window(options.bytes_max.unwrap_or(u64::MAX)));
    Ok((hub, format!("data in {data} ({})", Size(options.bytes_max).describe())))
}

/// Returns the size of the live window in bytes: at most half of the size limit of the log, so that the window
/// never shows an event that the log has already deleted.
fn window(bytes_max: u64) -> usize {
    usize::try_from(bytes_max / 2).map_or(Hub::WINDOW_BYTES, |half| half.min(Hub::WINDOW_BYTES))
}
