//! What drives a shard: a task of the runtime that also accepts and answers.

use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
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
use crate::shard::{Findings, Newcomer, Shard};

/// The way to a shard, from any thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Inner>);

struct Inner {
    consumer: Consumer,
    inbox: Mutex<Inbox>,
}

/// What waits for the shard: at most one message of each connection and errand under way.
#[derive(Default)]
struct Inbox {
    messages: Vec<Message>,
    closed: bool,
}

enum Message {
    Newcomer(Box<Newcomer<TcpStream>>),
    Findings(Box<Findings>),
    Drain(Stentor),
}

impl Handle {
    /// Hands a reader over.
    pub(crate) fn adopt(&self, newcomer: Newcomer<TcpStream>) {
        self.send(Message::Newcomer(Box::new(newcomer)));
    }

    /// No readers come any more: the shard ends when the last one has left.
    pub(crate) fn close(&self) {
        self.inbox().closed = true;
        self.0.consumer.wake();
    }

    fn send(&self, message: Message) {
        self.inbox().messages.push(message);
        self.0.consumer.wake();
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.0.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shard with what it takes to run it.
pub(crate) struct Driver {
    shard: Shard<TcpStream>,
    handle: Handle,
    /// Services that are watched for their end: as many as a program has.
    watched: Vec<Stentor>,
    messages: Vec<Message>,
}

impl Driver {
    pub(crate) fn new(metrics: Metrics) -> io::Result<Driver> {
        let shard = Shard::new(metrics, Instant::now())?;
        let inner = Inner { consumer: shard.consumer().clone(), inbox: Mutex::default() };
        let handle = Handle(Arc::new(inner));
        Ok(Driver { shard, handle, watched: Vec::new(), messages: Vec::new() })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Sets the shard going: as a task where everything runs on one thread, which needs no wake-ups
    /// across threads, otherwise on a thread of its own, for a runtime of several threads would run it
    /// after each single publish.
    pub(crate) fn start(self) -> io::Result<Running> {
        let runtime = RuntimeHandle::current();
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Ok(Running(tokio::spawn(async move { log(self.run().await) })));
        }
        let own = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("stentor-shard".to_owned()).spawn(move || {
            log(own.block_on(self.run()));
            drop(done);
        })?;
        Ok(Running(tokio::spawn(async move {
            // Closed without a word, which is the word.
            let _ = ended.await;
        })))
    }

    /// Runs the shard until it is closed and empty.
    async fn run(mut self) -> io::Result<()> {
        let mut alarm = Alarm::new(&self.shard)?;
        loop {
            let now = Instant::now();
            let closed = self.take_messages(now);
            if alarm.take_events() || self.shard.has_work() {
                self.shard.events(now)?;
            }
            self.shard.turn(now);
            while let Some(errand) = self.shard.next_errand() {
                let handle = self.handle.clone();
                tokio::spawn(async move {
                    handle.send(Message::Findings(Box::new(errand.run().await)));
                });
            }
            if closed && self.shard.is_empty() {
                return Ok(());
            }
            if self.shard.has_work() {
                // Publishers have their turn, and what they publish goes with the next writes.
                yield_now().await;
            } else {
                alarm.wait(self.shard.consumer(), self.shard.next_timer()).await?;
            }
        }
    }

    /// Takes what was sent, and says whether that was all for ever.
    fn take_messages(&mut self, now: Instant) -> bool {
        let closed = {
            let mut inbox = self.handle.inbox();
            std::mem::swap(&mut inbox.messages, &mut self.messages);
            inbox.closed
        };
        let mut messages = std::mem::take(&mut self.messages);
        for message in messages.drain(..) {
            match message {
                Message::Newcomer(newcomer) => {
                    let stentor = newcomer.stentor().clone();
                    self.shard.adopt(*newcomer);
                    self.watch(&stentor);
                }
                Message::Findings(findings) => self.shard.settle(*findings, now),
                Message::Drain(stentor) => self.shard.drain(&stentor),
            }
        }
        self.messages = messages;
        closed
    }

    /// Has the end of a service told, also to a reader who came in the middle of it.
    fn watch(&mut self, stentor: &Stentor) {
        if self.watched.iter().any(|known| known.is(stentor)) {
            if stentor.is_draining() {
                self.shard.drain(stentor);
            }
            return;
        }
        self.watched.push(stentor.clone());
        let (handle, stentor) = (self.handle.clone(), stentor.clone());
        tokio::spawn(async move {
            stentor.drain().cancelled().await;
            handle.send(Message::Drain(stentor));
        });
    }
}

/// A shard that runs.
pub(crate) struct Running(JoinHandle<()>);

impl Running {
    /// Waits until its last reader has left.
    pub(crate) async fn ended(self) {
        // One that panicked has no readers any more.
        let _ = self.0.await;
    }
}

fn log(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a shard stopped, and its streams were cut");
    }
}

/// What wakes a shard that has nothing to do.
struct Alarm {
    epoll: AsyncFd<RawFd>,
    timer: Pin<Box<Sleep>>,
    has_events: bool,
}

impl Alarm {
    fn new(shard: &Shard<TcpStream>) -> io::Result<Alarm> {
        // The descriptor is the shard's, which outlives this: both are locals of one future.
        #[allow(deprecated, reason = "the other way in needs `unsafe`")]
        let epoll = AsyncFd::with_interest(shard.as_raw_fd(), tokio::io::Interest::READABLE)?;
        let timer = Box::pin(sleep_until(Instant::now()));
        Ok(Alarm { epoll, timer, has_events: true })
    }

    /// Whether sockets have something to say.
    fn take_events(&mut self) -> bool {
        std::mem::take(&mut self.has_events)
    }

    /// Waits for news, for sockets, or for this moment.
    async fn wait(&mut self, consumer: &Consumer, until: Option<Instant>) -> io::Result<()> {
        if let Some(until) = until
            && until != self.timer.deadline()
        {
            self.timer.as_mut().reset(until);
        }
        poll_fn(|cx| {
            if self.poll_events(cx)? {
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

    fn poll_events(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while let Poll::Ready(guard) = self.epoll.poll_read_ready(cx) {
            // Cleared before the events are read: what comes after that wakes again.
            guard?.clear_ready();
            self.has_events = true;
        }
        Ok(self.has_events)
    }
}
