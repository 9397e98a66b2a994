//! One run of the simulated server: a hub, its shards and its background tasks.

use std::io;
use std::time::Duration;

use http::Request;
use stentor_hub::{Hub, Retention, StorageError, TopicLimits};
use stentor_server::{Body, Config, Stentor};
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::disk::Disk;
use crate::flag::Task;
use crate::host::Host;
use crate::plan::{Plan, TRIM_KEPT, TRIM_PREFIX};
use crate::request::SimBody;
use crate::storage::SimStorage;

/// A response, or the panic of a handler that cannot fail.
pub(crate) type Answer = http::Response<Body>;

/// A server between two restarts.
pub(crate) struct Node {
    stentor: Stentor,
    /// Its shards.
    pub(crate) hosts: Vec<Host>,
    tasks: Vec<JoinHandle<()>>,
    failed: Task<StorageError>,
    closing: Option<Task<()>>,
    /// `true` once it was asked to stop.
    pub(crate) is_draining: bool,
}

impl Node {
    /// Starts a server on the disk.
    ///
    /// # Errors
    ///
    /// If the system has no event queue left.
    pub(crate) fn start(disk: &Disk, plan: &Plan) -> io::Result<Node> {
        let hub = Hub::with_window(SimStorage::open(disk), plan.window_bytes);
        // Longer than a run: a publisher repeats a request until it has an answer.
        let key_window = Duration::from_hours(1_000);
        let config = Config { keep_alive: plan.keep_alive, key_window, ..Config::default() };
        let stentor = Stentor::with_config(hub.clone(), config);
        let hosts = (0..plan.shards).map(|_| Host::new(&stentor)).collect::<io::Result<_>>()?;
        let (retaining, leasing, failing) = (hub.clone(), hub.clone(), hub);
        let tasks = vec![
            tokio::spawn(async move { retaining.enforce_retention(retention()).await }),
            tokio::spawn(async move { leasing.watch_leases().await }),
        ];
        let failed = Task::new(async move { failing.failed().await });
        Ok(Node { stentor, hosts, tasks, failed, closing: None, is_draining: false })
    }

    /// Starts to handle a request.
    pub(crate) fn call(&self, request: Request<SimBody>) -> Task<Answer> {
        let mut stentor = self.stentor.clone();
        Task::new(async move {
            match stentor.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    }

    /// Polls the failure of the log. Returns `true` if it has failed, so that the server must stop.
    pub(crate) fn has_failed(&mut self) -> bool {
        self.failed.is_woken() && self.failed.poll().is_some()
    }

    /// Asks the server to stop.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
        self.stentor.drain().cancel();
        for host in &mut self.hosts {
            host.drain(&self.stentor);
        }
    }

    /// Continues to stop, once it has no readers. Returns `true` when the log is closed.
    pub(crate) fn stop(&mut self) -> bool {
        if self.hosts.iter().all(Host::is_empty) && self.closing.is_none() {
            self.end_tasks();
            let hub = self.stentor.hub().clone();
            self.closing = Some(Task::new(async move { hub.close().await }));
        }
        self.closing.as_mut().is_some_and(|closing| closing.is_woken() && closing.poll().is_some())
    }

    fn end_tasks(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

/// Keeps the newest events of each trimmed topic.
fn retention() -> Retention {
    let limits = TopicLimits {
        events: Some(TRIM_KEPT as u64),
        ended: Some(Duration::from_hours(10_000)),
        ..TopicLimits::default()
    };
    let rules = format!("{TRIM_PREFIX}**").parse().map(|filter| vec![(filter, limits)]);
    Retention::new(rules.unwrap_or_default()).unwrap_or_default()
}
