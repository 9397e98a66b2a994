//! The state that all routes and streams share: the hub, the settings, the metrics and the drain token.

use std::sync::{Arc, Weak};
use std::time::Duration;

use stentor_hub::Hub;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::BodyBudget;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::pool::Pool;
use crate::response_budget::ResponseBudget;
use crate::stream::session::Keys;
use crate::stream::shards::Shards;

/// The HTTP API over a [`Hub`], as a [`tower_service::Service`]. Cloning is cheap, and all clones share
/// one state.
///
/// It does not check the headers `Host` and `Origin`. Wrap it in a [`Guard`](crate::Guard), unless your
/// program checks them itself.
#[derive(Clone)]
pub struct Stentor(Arc<Inner>);

struct Inner {
    hub: Hub,
    config: Config,
    metrics: Metrics,
    budget: Arc<BodyBudget>,
    pool: Pool,
    response_budget: ResponseBudget,
    drain: CancellationToken,
    /// The tasks that discard unread bodies of requests from servers other than `serve`.
    discards: TaskTracker,
    /// The keys of open streams.
    keys: Keys,
    /// The shards that write the streams.
    shards: Shards,
}

impl Stentor {
    /// Creates a service with the default settings.
    pub fn new(hub: Hub) -> Stentor {
        Stentor::with_config(hub, Config::default())
    }

    /// Creates a service with these settings.
    pub fn with_config(hub: Hub, config: Config) -> Stentor {
        let log_lines_dropped = Arc::clone(&config.log_lines_dropped);
        let metrics = Metrics { log_lines_dropped, ..Metrics::default() };
        let budget = BodyBudget::new(config.body_bytes_max, metrics.clone());
        let response_budget = ResponseBudget::new(config.response_bytes_max, metrics.clone());
        Stentor(Arc::new(Inner {
            hub,
            config,
            metrics,
            budget,
            pool: Pool::default(),
            response_budget,
            drain: CancellationToken::new(),
            discards: TaskTracker::new(),
            keys: Keys::default(),
            shards: Shards::default(),
        }))
    }

    /// Returns the hub.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// Returns the metrics of this service.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Returns the token that drains the service when it is cancelled.
    ///
    /// Every stream then ends cleanly with a `retry:` of its own, publishes get 503, and
    /// `/health/ready` fails. [`serve`](crate::serve) stops when it is cancelled.
    pub fn drain(&self) -> &CancellationToken {
        &self.0.drain
    }

    /// Closes all streams whose [`Session`](crate::Session) has this key, on all shards. Call it when a
    /// user must not read any more.
    ///
    /// Each stream ends between two events, cleanly and with a `retry:`, so the subscriber reconnects
    /// and your program decides again. A response of [`Stentor::stream_with`] that was not sent yet is
    /// closed too. A stream that is opened after this call is not.
    pub fn close_streams(&self, key: &str) {
        if let Some(key) = self.0.keys.close(key) {
            self.0.shards.close_key(&key);
        }
    }

    /// Returns a reference that does not keep the service.
    pub(crate) fn downgrade(&self) -> WeakStentor {
        WeakStentor(Arc::downgrade(&self.0))
    }

    /// Returns `true` if `other` is a clone of this service.
    pub(crate) fn is_clone_of(&self, other: &Stentor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns a number that differs between services and is equal for clones.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Returns a time until the next keep-alive of a stream: the configured time, varied by 20 %.
    pub(crate) fn keep_alive_interval(&self) -> Duration {
        let varied = self.0.config.keep_alive.as_secs_f64() * (0.8 + 0.4 * fastrand::f64());
        Duration::try_from_secs_f64(varied).unwrap_or(Duration::MAX)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn shards(&self) -> &Shards {
        &self.0.shards
    }

    pub(crate) fn budget(&self) -> &Arc<BodyBudget> {
        &self.0.budget
    }

    /// Returns the pace of a body, or of a large event of an upload, that begins to arrive.
    pub(crate) fn pace(&self) -> Pace {
        Pace::start(self.0.config.body_idle_timeout, self.0.config.body_timeout)
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    pub(crate) fn response_budget(&self) -> &ResponseBudget {
        &self.0.response_budget
    }

    pub(crate) fn discards(&self) -> &TaskTracker {
        &self.0.discards
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.drain.is_cancelled()
    }
}

/// A reference to a [`Stentor`] that does not keep it.
pub(crate) struct WeakStentor(Weak<Inner>);

impl WeakStentor {
    pub(crate) fn upgrade(&self) -> Option<Stentor> {
        self.0.upgrade().map(Stentor)
    }

    /// Returns `true` if this is a reference to `stentor` or a clone of it.
    pub(crate) fn is_of(&self, stentor: &Stentor) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&stentor.0))
    }

    /// Returns `true` if the service no longer exists.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}
