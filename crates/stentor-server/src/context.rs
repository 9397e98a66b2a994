//! The shared state of the service: the hub, the configuration, the metrics and the drain token.

use std::sync::Arc;
use std::time::Duration;

use stentor_hub::Hub;
use tokio_util::sync::CancellationToken;

use crate::budget::BodyBudget;
use crate::config::Config;
use crate::metrics::Metrics;

/// Stentor over HTTP: a [`tower_service::Service`] over a [`Hub`]. Cheap to clone.
///
/// It looks at neither `Host` nor `Origin`: [`Guard::wrap`](crate::Guard::wrap) it, unless the
/// program around it does that.
#[derive(Clone)]
pub struct Stentor(Arc<Inner>);

struct Inner {
    hub: Hub,
    config: Config,
    metrics: Metrics,
    budget: Arc<BodyBudget>,
    drain: CancellationToken,
}

impl Stentor {
    /// The service over a hub.
    pub fn new(hub: Hub) -> Stentor {
        Stentor::with_config(hub, Config::default())
    }

    /// The service over a hub, set up differently.
    pub fn with_config(hub: Hub, config: Config) -> Stentor {
        let metrics = Metrics::default();
        let budget = BodyBudget::new(config.body_bytes_max, metrics.clone());
        Stentor(Arc::new(Inner { hub, config, metrics, budget, drain: CancellationToken::new() }))
    }

    /// The hub.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Cancelled, it ends all streams cleanly, each with a `retry:` of its own, and lets
    /// `/health/ready` say no. A server hands it to [`serve`](crate::serve) too.
    pub fn drain(&self) -> &CancellationToken {
        &self.0.drain
    }

    /// Whether both are clones of one.
    pub(crate) fn is(&self, other: &Stentor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What tells it from others.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// How long a stream may be silent this time.
    pub(crate) fn silence(&self) -> Duration {
        self.0.config.keep_alive.mul_f64(0.8 + 0.4 * fastrand::f64())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn budget(&self) -> &Arc<BodyBudget> {
        &self.0.budget
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.drain.is_cancelled()
    }
}
