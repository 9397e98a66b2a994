//! A shard and the parts that run it. The only file that knows how a shard is driven.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use http::{Response, Version};
use mio::Token;
use stentor_server::shard::{
    Arrival, Finish, QueryResult, Readiness, Registrar, Shard, Transport, Written,
};
use stentor_server::{Body, Stentor};
use tokio::time::Instant;

use crate::flag::{Signal, Task};
use crate::wire::Wire;

/// Maximum time of a storage query.
const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

/// The shard's side of a connection.
struct SimTransport(Wire);

impl Transport for SimTransport {
    fn write(&mut self, bytes: &[u8]) -> Written {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> Written {
        match self.0.write_vectored(pieces) {
            Ok(0) => Written::Gone,
            Ok(bytes) => Written::Bytes(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Written::Blocked,
            Err(_) => Written::Gone,
        }
    }

    fn discard_input(&mut self, max: usize) -> Option<usize> {
        self.0.discard_input(max)
    }

    fn finish(&mut self) -> Finish {
        if self.0.finish().is_ok() { Finish::Lingers } else { Finish::Gone }
    }

    fn watch(&mut self, _: &Registrar<'_>, token: Token, on: Readiness, _: bool) -> io::Result<()> {
        self.0.watch(token.0, on == Readiness::InputAndRoom);
        Ok(())
    }
}

/// A reader on its way into a shard.
pub(crate) struct Newcomer(Arrival<SimTransport>);

impl Newcomer {
    /// Takes the stream out of a response. `None` if the response is not a stream.
    pub(crate) fn new(
        response: &mut Response<Body>,
        version: Version,
        wire: Wire,
    ) -> Option<Newcomer> {
        Arrival::new(response, version, SimTransport(wire)).map(Newcomer)
    }
}

/// A shard with its inbox and its storage queries.
pub(crate) struct Host {
    shard: Shard<SimTransport>,
    woken: Signal,
    inbox: VecDeque<Newcomer>,
    queries: Vec<Query>,
    results: Results,
}

/// The results of storage queries that the shard does not have yet.
type Results = Rc<RefCell<VecDeque<QueryResult>>>;

/// A storage query under way, which is dropped at a deadline.
struct Query {
    task: Task<()>,
    deadline: Instant,
}

impl Host {
    /// Creates a shard without readers.
    ///
    /// # Errors
    ///
    /// If the system has no event queue left.
    pub(crate) fn new(stentor: &Stentor) -> io::Result<Host> {
        let shard = Shard::new(stentor.metrics().clone(), Instant::now())?;
        Ok(Host {
            shard,
            woken: Signal::new(),
            inbox: VecDeque::new(),
            queries: Vec::new(),
            results: Results::default(),
        })
    }

    /// Puts a reader into the inbox.
    pub(crate) fn send(&mut self, newcomer: Newcomer) {
        self.inbox.push_back(newcomer);
    }

    /// Returns `true` if a turn is due: a driver would call one now.
    pub(crate) fn is_due(&self) -> bool {
        self.shard.has_work()
            || !self.inbox.is_empty()
            || !self.results.borrow().is_empty()
            || self.woken.is_set()
            || self.next_timer().is_some_and(|timer| timer <= Instant::now())
    }

    /// The time of the next timer, or of the deadline of a query.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let deadline = self.queries.iter().map(|query| query.deadline).min();
        self.shard.next_timer().into_iter().chain(deadline).min()
    }

    /// Takes the messages of the inbox and runs one turn. Returns the number of queries that were overdue.
    pub(crate) fn turn(&mut self) -> usize {
        let now = Instant::now();
        // As a driver does: the signal is consumed before the turn.
        self.woken.reset();
        let mut cx = self.woken.context();
        while self.shard.consumer().poll_woken(&mut cx).is_ready() {}
        for newcomer in self.inbox.drain(..) {
            self.shard.adopt(newcomer.0);
        }
        // An overdue query is dropped, which answers it with an error.
        let queries = self.queries.len();
        self.queries.retain(|query| query.deadline > now);
        let overdue = queries - self.queries.len();
        let results: Vec<QueryResult> = self.results.borrow_mut().drain(..).collect();
        for result in results {
            self.shard.complete(result, now);
        }
        self.shard.turn(now);
        while let Some(query) = self.shard.next_query() {
            let results = Rc::clone(&self.results);
            let task = Task::new(query.run(move |result| results.borrow_mut().push_back(result)));
            self.queries.push(Query { task, deadline: now + QUERY_TIME_MAX });
        }
        overdue
    }

    /// Reports an event of a connection.
    pub(crate) fn notify(&mut self, token: usize) {
        self.shard.notify_ready(Token(token), Instant::now());
    }

    /// Numbers of the storage queries that can continue.
    pub(crate) fn woken_queries(&self) -> Vec<usize> {
        let woken = self.queries.iter().enumerate().filter(|(_, query)| query.task.is_woken());
        woken.map(|(at, _)| at).collect()
    }

    /// Continues a storage query. Returns `true` if it is complete.
    pub(crate) fn poll_query(&mut self, at: usize) -> bool {
        let is_done = self.queries.get_mut(at).is_some_and(|query| query.task.poll().is_some());
        if is_done {
            drop(self.queries.swap_remove(at));
        }
        is_done
    }

    /// Number of storage queries under way.
    pub(crate) fn queries(&self) -> usize {
        self.queries.len()
    }

    /// Ends the streams of all readers.
    pub(crate) fn drain(&mut self, stentor: &Stentor) {
        self.shard.drain(stentor);
    }

    /// Returns `true` if it has no readers.
    pub(crate) fn is_empty(&self) -> bool {
        self.shard.is_empty() && self.inbox.is_empty()
    }
}
