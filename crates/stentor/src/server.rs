//! Runs an HTTP server from start to exit: listen, serve, drain, close.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use stentor_hub::StorageError;
use stentor_server::{
    AllowedOrigin, Config, Guard, Guarded, HttpService, Restarts, ServeOptions, Stentor, bind,
    raise_file_limit, serve_on_cores,
};

use crate::duration;
use crate::idle_memory::give_back;
use crate::log_writer::LogWriter;
use crate::output::print_to_stderr;
use crate::signals::Signals;
use crate::usage::UsageError;
use crate::values;

/// Maximum number of shards, which is above the core count of any supported machine.
const SHARDS_MAX: u64 = 1_024;
/// Maximum of `--connections`, above what Linux allows a process to open.
const CONNECTIONS_MAX: u64 = 1 << 31;
/// Bounds of `--idle-timeout`.
const IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// Options for access and for the serving threads, shared by all commands that serve.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenArgs {
    /// Allow web pages from this origin to read and publish, such as `https://example.org`, `null` or
    /// `*`; pages on localhost are always allowed. Repeatable.
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<AllowedOrigin>,

    /// Also accept this `Host` header. Needed behind a reverse proxy on the same machine that forwards
    /// the public host name. Repeatable.
    #[arg(long, value_name = "NAME", value_parser = values::host_header)]
    host: Vec<String>,

    /// Allow listening on an address that other machines can reach. There is no authentication: anyone
    /// who can connect can read and publish.
    #[arg(long)]
    open: bool,

    /// Maximum number of open connections; each stream is one [default: the limit of open files, less what
    /// the server itself needs].
    #[arg(long, value_name = "N", value_parser = connections)]
    connections: Option<NonZero<usize>>,

    /// Time without a request after which a connection is closed: 1s to 1h. A stream is a request.
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = idle_timeout)]
    idle_timeout: Duration,

    /// Number of serving threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = shards)]
    shards: Option<NonZero<usize>>,

    /// Write streams through the HTTP library instead of taking over their sockets: slower; only for tests
    /// and comparisons.
    #[arg(long)]
    no_takeover: bool,
}

fn connections(text: &str) -> Result<NonZero<usize>, String> {
    let connections = values::number_in(text, 1..=CONNECTIONS_MAX)?;
    let connections = usize::try_from(connections).ok().and_then(NonZero::new);
    connections.ok_or_else(|| "expected a positive number".to_owned())
}

fn idle_timeout(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    if IDLE_TIMEOUT.contains(&time) {
        return Ok(time);
    }
    Err("expected a time from 1s to 1h, such as 75s or 5m".to_owned())
}

fn shards(text: &str) -> Result<NonZero<usize>, String> {
    let shards = values::number_in(text, 1..=SHARDS_MAX)?;
    let shards = usize::try_from(shards).ok().and_then(NonZero::new);
    shards.ok_or_else(|| "expected a positive number".to_owned())
}

impl ListenArgs {
    /// Returns the address to listen on. Call it before the log is opened, so that a refusal leaves no
    /// files behind.
    ///
    /// # Errors
    /// The host cannot be resolved, or the address is public without `--open`.
    pub(crate) fn resolve(&self, listen: &str) -> anyhow::Result<SocketAddr> {
        let unknown = || format!("cannot resolve the host of --listen {listen}; use an IP address");
        let mut addresses = listen.to_socket_addrs().with_context(unknown)?;
        let address = addresses.next().with_context(unknown)?;
        if !address.ip().is_loopback() && !self.open {
            let message = format!(
                "{address} can be reached by other machines, and there is no authentication; add --open \
                 to allow this, or listen on 127.0.0.1"
            );
            return Err(UsageError::new(message).into());
        }
        Ok(address)
    }

    fn serve_options(&self) -> ServeOptions {
        let shards = self.shards.unwrap_or(ServeOptions::default().shards);
        // The demos are axum routers without layers, so nothing touches the bodies of their streams.
        ServeOptions {
            shards,
            takeover: !self.no_takeover,
            streams_pass_unchanged: true,
            connections: self.connections,
            idle_timeout: self.idle_timeout,
        }
    }
}

/// Returns the default settings of a server of this program.
pub(crate) fn server_config() -> Config {
    let log_lines_dropped = LogWriter::get().map(LogWriter::dropped).unwrap_or_default();
    Config { log_lines_dropped, ..Config::default() }
}

/// The lines that a server prints to stderr when it is ready.
#[derive(Debug, Default)]
pub(crate) struct Banner {
    /// Name, version and location of the data.
    pub(crate) title: String,
    /// The path of the web console, if it is served.
    pub(crate) console: Option<&'static str>,
    /// A `curl` command to try: its options, and the path of its URL.
    pub(crate) example: Option<(&'static str, &'static str)>,
}

impl Banner {
    /// Returns a title: the name and version of the program, then `rest`.
    pub(crate) fn title(rest: impl fmt::Display) -> String {
        format!("stentor {}, {rest}", env!("CARGO_PKG_VERSION"))
    }

    /// Programs parse the line `listening on ADDRESS`: the address ends at the next space.
    fn print(&self, address: SocketAddr) {
        let url = format!("http://{address}");
        print_to_stderr(format_args!("{}", self.title));
        match self.console {
            Some(path) => {
                print_to_stderr(format_args!("listening on {url} (web console: {url}{path})"));
            }
            None => print_to_stderr(format_args!("listening on {url}")),
        }
        if let Some((options, path)) = self.example {
            print_to_stderr(format_args!("try: curl {options} {url}{path}"));
        }
    }
}

/// Serves until a signal arrives or the log fails. Runs `background` at the same time.
///
/// # Errors
/// The address cannot be bound, or serving fails.
pub(crate) fn run<A>(
    address: SocketAddr,
    access: &ListenArgs,
    banner: &Banner,
    stentor: &Stentor,
    app: A,
    background: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<ExitCode>
where
    A: HttpService,
    Guarded<A>: HttpService,
{
    raise_file_limit();
    let listener = bind(address).with_context(|| cannot_listen(address))?;
    let guard = Guard::new()
        .with_option_names("--host", "--cors-origin")
        .with_origins(access.cors_origin.iter().cloned());
    let guard = if address.ip().is_loopback() {
        guard.with_hosts(access.host.iter().cloned())
    } else {
        guard.with_any_host()
    };

    let beside =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let failure = Arc::new(LogFailure::default());
    let essential = beside.block_on(async {
        tokio::spawn(background);
        tokio::spawn(stentor.supervise("idle-memory", Restarts::Unlimited, give_back));
        let signals = Signals::listen(stentor.drain().clone())?;
        anyhow::Ok(tokio::spawn(run_essential(stentor.clone(), signals, Arc::clone(&failure))))
    })?;
    banner.print(listener.local_addr()?);
    let (options, app) = (access.serve_options(), guard.wrap(app));
    let served = serve_on_cores(options, listener, &app, stentor);
    beside.block_on(stentor.hub().close());
    served?;
    // The log can also fail while it is being closed.
    if let Some(error) = stentor.hub().failed().now_or_never() {
        failure.report(&error);
        return Ok(ExitCode::FAILURE);
    }
    Ok(if essential.is_finished() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Maximum number of restarts in a row of a task without which the server cannot be stopped properly.
const ESSENTIAL_RESTARTS: Restarts = Restarts::AtMost(5);

/// Runs the tasks that stop the server: on a signal, and when the log fails. If one of them cannot run, drains the
/// server and returns; the process then exits with an error.
async fn run_essential(stentor: Stentor, signals: Signals, failure: Arc<LogFailure>) {
    let mut first = Some(signals);
    let drain = stentor.drain().clone();
    let watch_signals = stentor.supervise("signals", ESSENTIAL_RESTARTS, move || {
        let signals = first.take().map_or_else(|| Signals::listen(drain.clone()), Ok);
        async move { signals?.watch().await }
    });
    let watched = stentor.clone();
    let watch_log = stentor.supervise("log-failure", ESSENTIAL_RESTARTS, move || {
        stop_on_log_failure(watched.clone(), Arc::clone(&failure))
    });
    let failed = tokio::select! {
        failed = watch_signals => failed,
        failed = watch_log => failed,
    };
    tracing::error!(error = %failed, "stopping");
    stentor.drain().cancel();
}

/// Drains the server when the log fails: its data can no longer be trusted. Never returns.
async fn stop_on_log_failure(stentor: Stentor, failure: Arc<LogFailure>) {
    failure.report(&stentor.hub().failed().await);
    stentor.drain().cancel();
    std::future::pending::<()>().await;
}

/// Logs the failure of the log once.
#[derive(Debug, Default)]
struct LogFailure {
    reported: AtomicBool,
}

impl LogFailure {
    fn report(&self, error: &StorageError) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the log failed; stopping");
        }
    }
}

fn cannot_listen(address: SocketAddr) -> String {
    format!(
        "cannot listen on {address}; if another program uses the port, stop it or choose another port \
         with --listen (0 picks a free one)"
    )
}
