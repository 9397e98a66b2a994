//! The driver of a shard: the task or thread that runs it.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use stentor_hub::Consumer;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle as RuntimeHandle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::context::Stentor;
use crate::metrics::Metrics;
use crate::shard::{Arrival, Connection, QueryResult, Shard};
use crate::stream::session::Key;
use crate::stream::shards::{Place, StreamShard};

/// Sends messages to a shard, from any thread. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct ShardHandle(Arc<Inner>);

struct Inner {
    consumer: Consumer,
    inbox: Mutex<Inbox>,
}

/// Messages for a shard: at most one for each connection and each running query.
#[derive(Default)]
struct Inbox {
    messages: Vec<Message>,
    /// `true` if the shard ends with its last reader.
    closed: bool,
    /// `true` once the shard has ended. It takes no more messages.
    ended: bool,
}

enum Message {
    Arrival(Box<Arrival<Connection>>),
    QueryResult(Box<QueryResult>),
    Drain(Stentor),
    CloseKey(Arc<Key>),
}

impl ShardHandle {
    /// Returns the handle of a shard that a service knows.
    pub(crate) fn of(shard: Arc<dyn StreamShard>) -> Option<ShardHandle> {
        let shard: Arc<dyn Any + Send + Sync> = shard;
        shard.downcast().ok().map(ShardHandle)
    }

    /// Returns the shard as a service knows it.
    pub(crate) fn into_shard(self) -> Arc<dyn StreamShard> {
        self.0
    }

    /// Hands a reader over to the shard.
    ///
    /// # Errors
    ///
    /// Returns the reader if the shard has ended.
    pub(crate) fn adopt(
        &self,
        arrival: Box<Arrival<Connection>>,
    ) -> Result<(), Box<Arrival<Connection>>> {
        let mut inbox = self.0.inbox();
        if inbox.ended {
            return Err(arrival);
        }
        inbox.messages.push(Message::Arrival(arrival));
        drop(inbox);
        self.0.consumer.wake();
        Ok(())
    }

    /// Announces that the shard ends when its last reader has left.
    pub(crate) fn close(&self) {
        self.0.inbox().closed = true;
        self.0.consumer.wake();
    }

    /// Ends the shard, unless messages have arrived. Returns `true` if it has ended.
    fn end(&self) -> bool {
        let mut inbox = self.0.inbox();
        inbox.ended |= inbox.messages.is_empty();
        inbox.ended
    }

    fn send(&self, message: Message) {
        self.0.send(message);
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.0.inbox()
    }
}

impl Inner {
    fn send(&self, message: Message) {
        let mut inbox = self.inbox();
        if !inbox.ended {
            inbox.messages.push(message);
        }
        drop(inbox);
        self.consumer.wake();
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamShard for Inner {
    fn close_key(&self, key: &Arc<Key>) {
        self.send(Message::CloseKey(Arc::clone(key)));
    }

    fn has_ended(&self) -> bool {
        self.inbox().ended
    }
}

/// A shard and the parts that run it.
pub(crate) struct Driver {
    shard: Shard<Connection>,
    handle: ShardHandle,
    /// Services whose drain token is watched. A program has few.
    watched: Vec<Stentor>,
    messages: Vec<Message>,
    /// The runtime whose bodies the shard writes.
    place: Option<Place>,
}

impl Driver {
    pub(crate) fn new(metrics: Metrics) -> io::Result<Driver> {
        let shard = Shard::new(metrics, Instant::now())?;
        let inner = Inner { consumer: shard.consumer().clone(), inbox: Mutex::default() };
        let handle = ShardHandle(Arc::new(inner));
        Ok(Driver {
            shard,
            handle,
            watched: Vec::new(),
            messages: Vec::new(),
            place: Place::current(),
        })
    }

    pub(crate) fn handle(&self) -> ShardHandle {
        self.handle.clone()
    }

    /// Starts a shard for response bodies of the current runtime, with its first reader. It ends with
    /// its last one.
    pub(crate) fn start_for_bodies(arrival: Box<Arrival<Connection>>) -> io::Result<ShardHandle> {
        let driver = Driver::new(arrival.stentor().metrics().clone())?;
        let handle = driver.handle();
        handle.close();
        handle.send(Message::Arrival(arrival));
        driver.start()?;
        Ok(handle)
    }

    /// Starts the shard. On a single-threaded runtime it is a task, which needs no wake-ups across
    /// threads. On other runtimes it is a thread, because such a runtime would poll it after every
    /// publish, and each event would be written by itself.
    pub(crate) fn start(self) -> io::Result<RunningDriver> {
        let runtime = RuntimeHandle::current();
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Ok(RunningDriver(tokio::spawn(async move { log_end(self.run().await) })));
        }
        let own = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("stentor-shard".to_owned()).spawn(move || {
            log_end(own.block_on(self.run()));
            drop(done);
        })?;
        Ok(RunningDriver(tokio::spawn(async move {
            // Dropping the sender signals the end.
            let _ = ended.await;
        })))
    }

    /// Runs the shard until it is closed and has no readers.
    async fn run(mut self) -> io::Result<()> {
        let mut waiter = Waiter::new(&self.shard)?;
        loop {
            let now = Instant::now();
            let closed = self.take_messages(now);
            if waiter.take_ready() || self.shard.has_work() {
                self.shard.poll_sockets(now)?;
            }
            self.shard.turn(now);
            while let Some(query) = self.shard.next_query() {
                let handle = self.handle.clone();
                tokio::spawn(async move {
                    handle.send(Message::QueryResult(Box::new(query.run().await)));
                });
            }
            if closed && self.shard.is_empty() && self.handle.end() {
                return Ok(());
            }
            if self.shard.has_work() {
                // Publishers run now. Their events are written together in the next turn.
                yield_now().await;
            } else {
                waiter.wait(self.shard.consumer(), self.shard.next_timer()).await?;
            }
        }
    }

    /// Takes the messages of the inbox. Returns `true` if the inbox is closed.
    fn take_messages(&mut self, now: Instant) -> bool {
        let closed = {
            let mut inbox = self.handle.inbox();
            std::mem::swap(&mut inbox.messages, &mut self.messages);
            inbox.closed
        };
        let mut messages = std::mem::take(&mut self.messages);
        for message in messages.drain(..) {
            match message {
                Message::Arrival(arrival) => {
                    let stentor = arrival.stentor().clone();
                    self.shard.adopt(*arrival);
                    self.watch_drain(&stentor);
                }
                Message::QueryResult(result) => self.shard.complete(*result, now),
                Message::Drain(stentor) => self.shard.drain(&stentor),
                Message::CloseKey(key) => self.shard.close_key(&key, now),
            }
        }
        self.messages = messages;
        closed
    }

    /// Makes sure that the shard drains the readers of a service when its token is cancelled. A reader
    /// that arrives after that is drained at once.
    fn watch_drain(&mut self, stentor: &Stentor) {
        if self.watched.iter().any(|known| known.is_clone_of(stentor)) {
            if stentor.is_draining() {
                self.shard.drain(stentor);
            }
            return;
        }
        self.watched.push(stentor.clone());
        if let Some(place) = self.place {
            stentor.shards().add(place, &self.handle.clone().into_shard());
        }
        let (handle, stentor) = (self.handle.clone(), stentor.clone());
        tokio::spawn(async move {
            stentor.drain().cancelled().await;
            handle.send(Message::Drain(stentor));
        });
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Also if the driver panicked, or its runtime was shut down. The streams of late messages are
        // interrupted.
        let mut inbox = self.handle.inbox();
        inbox.ended = true;
        let late = std::mem::take(&mut inbox.messages);
        drop(inbox);
        drop(late);
    }
}

/// A driver that was started.
pub(crate) struct RunningDriver(JoinHandle<()>);

impl RunningDriver {
    /// Waits until the last reader has left.
    pub(crate) async fn ended(self) {
        // A driver that panicked has no readers either.
        let _ = self.0.await;
    }
}

fn log_end(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "a shard failed; all its streams were interrupted");
    }
}

/// Waits for the events that wake an idle shard.
struct Waiter {
    epoll: AsyncFd<RawFd>,
    timer: Pin<Box<Sleep>>,
    sockets_ready: bool,
}

impl Waiter {
    fn new(shard: &Shard<Connection>) -> io::Result<Waiter> {
        // The shard owns the descriptor and outlives this: both are local variables of `run`.
        #[allow(deprecated, reason = "the replacement needs `unsafe`")]
        let epoll = AsyncFd::with_interest(shard.as_raw_fd(), tokio::io::Interest::READABLE)?;
        let timer = Box::pin(sleep_until(Instant::now()));
        Ok(Waiter { epoll, timer, sockets_ready: true })
    }

    /// Returns `true`, once, if sockets have become ready.
    fn take_ready(&mut self) -> bool {
        std::mem::take(&mut self.sockets_ready)
    }

    /// Waits for records, for a socket, or until `until`.
    async fn wait(&mut self, consumer: &Consumer, until: Option<Instant>) -> io::Result<()> {
        if let Some(until) = until
            && until != self.timer.deadline()
        {
            self.timer.as_mut().reset(until);
        }
        poll_fn(|cx| {
            if self.poll_sockets(cx)? {
                return Poll::Ready(Ok(()));
            }
            let timer = until.is_some() && self.timer.as_mut().poll(cx).is_ready();
            if timer || consumer.poll_woken(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        })
        .await
    }

    fn poll_sockets(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while let Poll::Ready(guard) = self.epoll.poll_read_ready(cx) {
            // Cleared before the shard reads its events: later events wake this again.
            guard?.clear_ready();
            self.sockets_ready = true;
        }
        Ok(self.sockets_ready)
    }
}
