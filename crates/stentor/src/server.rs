//! A server from its first to its last moment: listen, serve, drain, close.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZero;
use std::process::ExitCode;

use anyhow::{Context, bail};
use futures_util::FutureExt;
use stentor_server::{
    AllowedOrigin, Guard, HttpService, ServeOptions, Stentor, bind, serve_on_cores,
};

use crate::signals::Signals;

/// The most shards: more than any machine has cores.
const SHARDS_MAX: i64 = 1_024;

/// Who may reach a server, and how it serves.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenArgs {
    /// Let pages of this origin read and publish, such as `https://example.org`; `null` and `*` are
    /// possible. Pages of this machine may anyway. Repeatable.
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<AllowedOrigin>,

    /// Answer requests for this host too, on a loopback address: for a proxy on the same machine
    /// that passes its own name. Repeatable.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// Allow an address that other machines can reach. Whoever reaches it may read and publish.
    #[arg(long)]
    open: bool,

    /// How many cores serve; each has a share of the readers. All of them unless told otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SHARDS_MAX))]
    shards: Option<u16>,

    /// Leave streams to the HTTP library, as over HTTP/2: to compare.
    #[arg(long, hide = true)]
    no_takeover: bool,
}

impl ListenArgs {
    fn serve_options(&self) -> ServeOptions {
        let default = ServeOptions::default();
        let shards = self.shards.and_then(|shards| NonZero::new(usize::from(shards)));
        let shards = shards.unwrap_or(default.shards);
        ServeOptions { shards, takeover: !self.no_takeover }
    }
}

/// Serves until a signal comes or the log fails. `background` runs beside it.
pub(crate) fn run<A>(
    listen: &str,
    access: &ListenArgs,
    stentor: &Stentor,
    app: A,
    background: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<ExitCode>
where
    A: HttpService,
    Guarded<A>: HttpService,
{
    let address = resolve(listen)?;
    let is_local = address.ip().is_loopback();
    if !is_local && !access.open {
        bail!(
            "{address} can be reached by other machines, and whoever reaches it may read and publish; \
             add --open if that is meant, or listen on 127.0.0.1"
        );
    }
    let listener = bind(address).with_context(|| cannot_listen(address))?;
    let mut guard = Guard::new().with_origins(access.cors_origin.iter().cloned());
    if is_local {
        guard = guard.with_local_hosts(access.host.iter().cloned());
    }

    let beside =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let failure = beside.block_on(async {
        tokio::spawn(background);
        let signals = Signals::listen(stentor.drain().clone())?;
        tokio::spawn(signals.watch());
        anyhow::Ok(tokio::spawn(fail_with_log(stentor.clone())))
    })?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let (options, app) = (access.serve_options(), guard.wrap(app));
    let served = serve_on_cores(options, &listener, &app, stentor);
    beside.block_on(stentor.hub().close());
    served?;
    // It may have failed while it was closed.
    let has_failed = stentor.hub().failed().now_or_never().is_some();
    if has_failed {
        beside.block_on(failure)?;
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

type Guarded<A> = stentor_server::Guarded<A>;

/// A log that can no longer be vouched for ends the server.
async fn fail_with_log(stentor: Stentor) {
    let error = stentor.hub().failed().await;
    tracing::error!(%error, "stopping");
    stentor.drain().cancel();
}

fn resolve(listen: &str) -> anyhow::Result<SocketAddr> {
    let mut addresses = listen
        .to_socket_addrs()
        .with_context(|| format!("{listen:?} is no address; write it as 127.0.0.1:8080"))?;
    addresses.next().with_context(|| format!("{listen:?} has no address"))
}

fn cannot_listen(address: SocketAddr) -> String {
    format!(
        "cannot listen on {address}; if another program uses it, stop that one or choose another with \
         --listen (port 0 picks a free one)"
    )
}
