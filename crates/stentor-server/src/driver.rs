//! The driver of a shard: it runs the shard as a task or thread, and starts another one if it fails.

mod handle;
#[cfg(test)]
mod tests;
mod waiter;

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use stentor_hub::Consumer;
use tokio::runtime::{Handle as RuntimeHandle, RuntimeFlavor};
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet, yield_now};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::handle::ShardHandle;
use self::handle::{Message, Taken};
use self::waiter::Waiter;
use crate::context::{Stentor, WeakStentor};
use crate::metrics::Metrics;
use crate::shard::{Arrival, Connection, Shard};
use crate::stream::shards::Place;
use crate::supervise::Restarts;

/// Maximum number of restarts of a shard in a row. After that, the server stops with an error.
const RESTARTS_MAX: u32 = 5;
/// Maximum time of a storage query. After that its readers get keep-alives, and it is tried again.
const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

/// A shard that is to be started.
pub(crate) struct Driver {
    shard: Shard<Connection>,
    metrics: Metrics,
    handle: ShardHandle,
    /// The runtime whose bodies the shard writes.
    place: Option<Place>,
}

impl Driver {
    pub(crate) fn new(metrics: Metrics) -> io::Result<Driver> {
        let shard = Shard::new(metrics.clone(), Instant::now())?;
        let handle = ShardHandle::new(shard.consumer().clone());
        Ok(Driver { shard, metrics, handle, place: Place::current() })
    }

    pub(crate) fn handle(&self) -> ShardHandle {
        self.handle.clone()
    }

    /// Starts a shard for response bodies of the current runtime, with its first reader. It ends with
    /// its last one. If it fails, its streams are interrupted, and the next stream starts another one.
    pub(crate) fn start_for_bodies(arrival: Box<Arrival<Connection>>) -> io::Result<ShardHandle> {
        let driver = Driver::new(arrival.stentor().metrics().clone())?;
        let handle = driver.handle();
        handle.close();
        if let Err(arrival) = handle.adopt(arrival) {
            arrival.refuse();
        }
        let end = EndOnDrop(handle.clone());
        let run = ShardRun::new(driver.shard, handle.clone(), driver.place)?;
        launch(async move {
            let _end = end;
            let result = run.run().await;
            if let Err(error) = &result {
                tracing::error!(%error, "a shard failed; its streams were interrupted");
            }
            result
        })?
        .detach();
        Ok(handle)
    }

    /// Starts the shard. If it fails, its streams are interrupted, and another shard takes its place:
    /// after a pause, and at most five times in a row.
    pub(crate) fn start(self, stentor: &Stentor) -> io::Result<RunningDriver> {
        let Driver { shard, metrics, handle, place } = self;
        let done = Arc::new(Notify::new());
        let mut first = Some(shard);
        let start = {
            let (handle, done) = (handle.clone(), Arc::clone(&done));
            move || {
                let shard = match first.take() {
                    Some(shard) => Ok(shard),
                    None => Shard::new(metrics.clone(), Instant::now()),
                };
                let (handle, done) = (handle.clone(), Arc::clone(&done));
                async move {
                    match ShardRun::new(shard?, handle, place)?.run().await {
                        Ok(()) => {
                            // It was closed and has no readers.
                            done.notify_one();
                            pending().await
                        }
                        failed => failed,
                    }
                }
            }
        };
        let failed = stentor.supervise("shard", Restarts::AtMost(RESTARTS_MAX), start);
        let end = EndOnDrop(handle.clone());
        let mut running = launch(async move {
            let handle = &end.0;
            tokio::select! {
                failed = failed => Err(io::Error::other(failed)),
                () = done.notified() => Ok(()),
                () = handle.down_and_closed() => Ok(()),
            }
        })?;
        running.stops = Some(handle);
        Ok(running)
    }
}

/// Runs a shard. On a single-threaded runtime it is a task, which needs no wake-ups across threads. On
/// other runtimes it is a thread, because such a runtime would poll it after every publish, and each
/// event would be written by itself.
fn launch(
    shard: impl Future<Output = io::Result<()>> + Send + 'static,
) -> io::Result<RunningDriver> {
    let runtime = RuntimeHandle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(RunningDriver { task: tokio::spawn(shard), result: None, stops: None });
    }
    let own = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name("stentor-shard".to_owned()).spawn(move || {
        // The receiver is gone if nothing waits for the end.
        let _ = done.send(own.block_on(shard));
    })?;
    let task = tokio::spawn(async move {
        ended.await.unwrap_or_else(|_| Err(io::Error::other("the thread of a shard panicked")))
    });
    Ok(RunningDriver { task, result: None, stops: None })
}

/// A driver that was started. Dropping it stops the shard, unless it was detached.
pub(crate) struct RunningDriver {
    task: JoinHandle<io::Result<()>>,
    /// The reason of the end, once it is known.
    result: Option<Result<(), String>>,
    stops: Option<ShardHandle>,
}

impl RunningDriver {
    /// Waits until the last reader has left, or until the shard has failed too often. Cancel safe.
    ///
    /// # Errors
    ///
    /// Returns the reason of the last failure.
    pub(crate) async fn ended(&mut self) -> io::Result<()> {
        if self.result.is_none() {
            self.result = Some(match (&mut self.task).await {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            });
        }
        self.result.clone().unwrap_or(Ok(())).map_err(io::Error::other)
    }

    fn detach(mut self) {
        self.stops = None;
    }
}

impl Drop for RunningDriver {
    fn drop(&mut self) {
        if let Some(handle) = self.stops.take() {
            handle.stop();
        }
    }
}

/// Announces the end of a shard, also if its runtime is shut down.
struct EndOnDrop(ShardHandle);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// One life of a shard: from its start until it ends or fails.
struct ShardRun {
    /// Dropped before the shard, whose descriptor it watches.
    waiter: Waiter,
    shard: Shard<Connection>,
    handle: ShardHandle,
    /// See [`ShardHandle::up`].
    number: u64,
    messages: Vec<Message>,
    /// The running storage queries. They are aborted with the shard.
    queries: JoinSet<()>,
    /// The tasks that wait for services to drain, one for each in `watched`.
    watchers: JoinSet<()>,
    /// Services that have readers here, or had. A program has few.
    watched: Vec<Watched>,
    place: Option<Place>,
    #[cfg(test)]
    kill: Option<handle::Kill>,
}

/// A service whose drain token is watched. It lives as long as its readers and its program need it.
struct Watched {
    service: WeakStentor,
    watcher: AbortHandle,
}

impl ShardRun {
    fn new(
        shard: Shard<Connection>,
        handle: ShardHandle,
        place: Option<Place>,
    ) -> io::Result<ShardRun> {
        Ok(ShardRun {
            waiter: Waiter::new(&shard)?,
            number: handle.up(shard.consumer().clone()),
            shard,
            handle,
            messages: Vec::new(),
            queries: JoinSet::new(),
            watchers: JoinSet::new(),
            watched: Vec::new(),
            place,
            #[cfg(test)]
            kill: None,
        })
    }

    /// Runs the shard until it is stopped, or is closed and has no readers.
    async fn run(mut self) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let taken = self.take_messages(now);
            #[cfg(test)]
            if let Some(kill) = self.kill.take() {
                kill.act(&mut self.watchers)?;
            }
            self.reap();
            if self.waiter.take_ready() || self.shard.has_work() {
                self.shard.poll_sockets(now)?;
            }
            self.shard.turn(now);
            self.start_queries();
            if taken.is_checked {
                self.handle.report_turn();
            }
            if taken.is_stopped {
                self.handle.ended();
                return Ok(());
            }
            if taken.is_closed && self.shard.is_empty() && self.handle.end() {
                return Ok(());
            }
            if self.shard.has_work() {
                // Publishers run now. Their events are written together in the next turn.
                yield_now().await;
            } else {
                self.waiter.wait(self.shard.consumer(), self.shard.next_timer()).await?;
            }
        }
    }

    fn take_messages(&mut self, now: Instant) -> Taken {
        let mut messages = std::mem::take(&mut self.messages);
        let taken = self.handle.take(&mut messages);
        for message in messages.drain(..) {
            match message {
                Message::Arrival(arrival) => {
                    let stentor = arrival.stentor().clone();
                    // First, so that the shard is known to the service: a closing of the reader's key
                    // reaches the shard, or the reader finds its key closed.
                    self.watch_drain(&stentor);
                    self.shard.adopt(*arrival);
                    if stentor.is_draining() {
                        self.shard.drain(&stentor);
                    }
                }
                Message::QueryResult(result) => self.shard.complete(*result, now),
                Message::CloseKey(key) => self.shard.close_key(&key, now),
                #[cfg(test)]
                Message::Kill(kill) => self.kill = Some(kill),
            }
        }
        self.messages = messages;
        taken
    }

    /// Starts the storage queries that the shard needs. Each has a deadline, and is answered in any case.
    fn start_queries(&mut self) {
        while let Some(query) = self.shard.next_query() {
            let (handle, number) = (self.handle.clone(), self.number);
            let answered = query.run(move |result| handle.answer(number, result));
            self.queries.spawn(async move {
                // An overdue query is dropped, which answers it with an error.
                let _ = timeout(QUERY_TIME_MAX, answered).await;
            });
        }
    }

    /// Learns of tasks that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.queries.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a storage query panicked");
            }
        }
        while let Some(ended) = self.watchers.try_join_next_with_id() {
            let id = match &ended {
                Ok((id, ())) => *id,
                Err(error) => error.id(),
            };
            let Some(index) = self.watched.iter().position(|known| known.watcher.id() == id) else {
                continue;
            };
            let watched = self.watched.swap_remove(index);
            let Some(stentor) = watched.service.upgrade() else { continue };
            if let Some(error) = ended.err().filter(JoinError::is_panic) {
                tracing::error!(%error, "a task that waits for the server to stop panicked");
            }
            // Drains it, or watches it again.
            self.watch_drain(&stentor);
        }
    }

    /// Makes sure that the shard drains the readers of a service when its token is cancelled, and that
    /// the service knows the shard. If the token was cancelled before, drains them at once.
    fn watch_drain(&mut self, stentor: &Stentor) {
        if stentor.is_draining() {
            return self.shard.drain(stentor);
        }
        if self.watched.iter().any(|known| known.service.is_of(stentor)) {
            return;
        }
        // Services that are gone are not watched any longer.
        self.watched.retain(|known| {
            let is_gone = known.service.is_gone();
            if is_gone {
                known.watcher.abort();
            }
            !is_gone
        });
        if let Some(place) = self.place {
            stentor.shards().add(place, &self.handle.clone().into_shard());
        }
        let waits = wait_for_drain(stentor.drain().clone(), self.shard.consumer().clone());
        let watcher = self.watchers.spawn(waits);
        self.watched.push(Watched { service: stentor.downgrade(), watcher });
    }
}

impl Drop for ShardRun {
    fn drop(&mut self) {
        // Also if the shard panicked.
        self.handle.fail();
    }
}

/// Waits until a service drains, and wakes the shard then. It holds only the token of the service.
async fn wait_for_drain(token: CancellationToken, consumer: Consumer) {
    /// Wakes the shard also if the task panics.
    struct Wake(Consumer);

    impl Drop for Wake {
        fn drop(&mut self) {
            self.0.wake();
        }
    }

    let _wake = Wake(consumer);
    token.cancelled().await;
}
