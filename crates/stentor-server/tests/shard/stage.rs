//! The hub, the shard and the in-memory transports that every scenario uses.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use http::{Response, Version};
use mio::Token;
use stentor_hub::{Filters, Hub, Publish, Start, TopicFilter};
use stentor_server::shard::{
    Arrival, Finish, QueryResult, Readiness, Registrar, Shard, Transport, Written,
};
use stentor_server::{Body, Metrics, Session, Stentor, StreamOptions};
use stentor_sse::{Decoder, Event, Item};
use tokio::time::Instant;

/// The state of an in-memory connection.
#[derive(Default)]
pub(crate) struct Wire {
    /// Number of bytes that the socket takes.
    pub(crate) room: usize,
    pub(crate) written: Vec<u8>,
    /// Input of the client. `None` once it has closed the connection.
    pub(crate) input: Option<Vec<u8>>,
    pub(crate) finished: bool,
    token: Option<Token>,
}

#[derive(Clone, Default)]
pub(crate) struct InMemory(Rc<RefCell<Wire>>);

impl Transport for InMemory {
    fn write(&mut self, bytes: &[u8]) -> Written {
        let mut wire = self.0.borrow_mut();
        let taken = bytes.len().min(wire.room);
        if taken == 0 {
            return Written::Blocked;
        }
        wire.written.extend_from_slice(&bytes[..taken]);
        wire.room -= taken;
        Written::Bytes(taken)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> Written {
        let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.write(&all)
    }

    fn discard_input(&mut self, max: usize) -> Option<usize> {
        let mut wire = self.0.borrow_mut();
        let input = std::mem::take(wire.input.as_mut()?);
        (input.len() <= max).then_some(input.len())
    }

    fn finish(&mut self) -> Finish {
        self.0.borrow_mut().finished = true;
        Finish::Lingers
    }

    fn watch(&mut self, _: &Registrar<'_>, token: Token, _: Readiness, _: bool) -> io::Result<()> {
        self.0.borrow_mut().token = Some(token);
        Ok(())
    }
}

/// The client side of a connection.
#[derive(Clone)]
pub(crate) struct Client(Rc<RefCell<Wire>>);

impl Client {
    pub(crate) fn has(&self) -> String {
        String::from_utf8(self.0.borrow().written.clone()).unwrap()
    }

    /// The body so far, without the head and the chunk framing.
    pub(crate) fn body(&self) -> String {
        let bytes = self.0.borrow().written.clone();
        String::from_utf8(body_of(&bytes)).unwrap()
    }

    /// The data of all published events.
    pub(crate) fn events(&self) -> Vec<String> {
        let is_published = |event: &Event| {
            event.event_type().is_none_or(|name| !name.as_str().starts_with("stentor."))
        };
        let events = self.items().into_iter().filter(is_published);
        events.map(|event| event.data().to_owned()).collect()
    }

    /// The data of all published events, with `gap` and `end` in place of those control events.
    pub(crate) fn events_and_gaps(&self) -> Vec<String> {
        let named = self.items().into_iter().filter_map(|event| {
            let name = event.event_type().map_or("", |name| name.as_str());
            match name.strip_prefix("stentor.") {
                None => Some(event.data().to_owned()),
                Some("cursor") => None,
                Some(name) => Some(name.to_owned()),
            }
        });
        named.collect()
    }

    /// The id with which it would reconnect.
    pub(crate) fn last_id(&self) -> String {
        let ids = self.items().into_iter().filter_map(|event| event.id().map(ToString::to_string));
        ids.last().unwrap_or_default()
    }

    fn items(&self) -> Vec<Event> {
        let mut decoder = Decoder::new();
        let mut events = Vec::new();
        let body = body_of(&self.0.borrow().written);
        let mut rest = &body[..];
        while let Some(item) = decoder.decode(&mut rest) {
            if let Ok(Item::Event(event)) = item {
                events.push(event);
            }
        }
        events
    }

    /// Sets the room of the socket. The shard learns of it when it writes.
    pub(crate) fn set_room(&self, room: usize) {
        self.0.borrow_mut().room = room;
    }

    pub(crate) fn has_left(&self) -> bool {
        // The shard has dropped its side of the connection.
        Rc::strong_count(&self.0) == 1
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.borrow().finished
    }
}

/// The payload of the complete chunks.
fn body_of(bytes: &[u8]) -> Vec<u8> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let mut rest = head.map_or(&[][..], |end| &bytes[end + 4..]);
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let Some(payload) = rest.get(line + 2..line + 2 + size) else { break };
        body.extend_from_slice(payload);
        rest = rest.get(line + 4 + size..).unwrap_or_default();
    }
    body
}

pub(crate) struct Stage {
    pub(crate) stentor: Stentor,
    pub(crate) shard: Shard<InMemory>,
    pub(crate) metrics: Metrics,
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    /// Queries that have no result yet, with their deadlines.
    queries: Vec<(Instant, Query)>,
    results: Rc<RefCell<Vec<QueryResult>>>,
}

type Query = Pin<Box<dyn Future<Output = ()>>>;

/// Time after which a query without a result is dropped.
const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

impl Stage {
    pub(crate) fn new(hub: Hub) -> Stage {
        Stage::of(Stentor::new(hub))
    }

    pub(crate) fn of(stentor: Stentor) -> Stage {
        let now = Instant::now();
        let metrics = stentor.metrics().clone();
        let shard = Shard::new(metrics.clone(), now).unwrap();
        let (queries, results) = (Vec::new(), Rc::default());
        Stage { stentor, shard, metrics, now, start: now, queries, results }
    }

    pub(crate) fn publish(&self, topic: &str, data: &str) {
        let topic = topic.parse().unwrap();
        self.stentor.hub().send(&topic, data).now_or_never().unwrap().unwrap();
    }

    pub(crate) fn end(&self, topic: &str) {
        let publish = Publish::end(topic.parse().unwrap(), "");
        self.stentor.hub().publish(publish).now_or_never().unwrap().unwrap();
    }

    /// Publishes, unless the topic has ended.
    pub(crate) fn try_publish(&self, topic: &str, data: &str) {
        let topic = topic.parse().unwrap();
        let _ = self.stentor.hub().send(&topic, data).now_or_never().unwrap();
    }

    /// Ends a topic, unless it has ended.
    pub(crate) fn try_end(&self, topic: &str) {
        let publish = Publish::end(topic.parse().unwrap(), "");
        let _ = self.stentor.hub().publish(publish).now_or_never().unwrap();
    }

    pub(crate) fn delete(&self, topic: &str) {
        self.stentor.hub().delete(&topic.parse().unwrap()).now_or_never().unwrap().unwrap();
    }

    /// Adds a reader of comma-separated filters whose socket has room for `room` bytes.
    pub(crate) fn join(&mut self, filters: &str, start: Start, room: usize) -> Client {
        self.join_with(filters, start, room, Session::new())
    }

    /// Adds a reader like [`Stage::join`]. `None` if there is nothing to stream.
    pub(crate) fn try_join(&mut self, filters: &str, start: Start, room: usize) -> Option<Client> {
        let response = self.response(filters, start, Session::new());
        self.try_adopt(response, room)
    }

    /// Adds a reader with a session.
    pub(crate) fn join_with(
        &mut self,
        filters: &str,
        start: Start,
        room: usize,
        session: Session,
    ) -> Client {
        let response = self.response(filters, start, session);
        self.adopt(response, room)
    }

    /// Returns the response to a subscriber of comma-separated filters.
    pub(crate) fn response(&self, filters: &str, start: Start, session: Session) -> Response<Body> {
        let filters = filters.split(',').map(|filter| filter.parse::<TopicFilter>().unwrap());
        let filters = Filters::new(filters).unwrap();
        let options = StreamOptions::new(Version::HTTP_11);
        let response = self.stentor.stream_with(filters, start, options, session);
        response.now_or_never().unwrap().unwrap()
    }

    /// Hands a response to the shard, with a transport that has room for `room` bytes.
    pub(crate) fn adopt(&mut self, response: Response<Body>, room: usize) -> Client {
        self.try_adopt(response, room).unwrap()
    }

    fn try_adopt(&mut self, mut response: Response<Body>, room: usize) -> Option<Client> {
        let wire = Wire { room, input: Some(Vec::new()), ..Wire::default() };
        let wire = Rc::new(RefCell::new(wire));
        let transport = InMemory(Rc::clone(&wire));
        self.shard.adopt(Arrival::new(&mut response, Version::HTTP_11, transport)?);
        Some(Client(wire))
    }

    /// Closes the streams of a key.
    pub(crate) fn close_streams(&mut self, key: &str) {
        let stentor = self.stentor.clone();
        self.shard.close_streams(&stentor, key, self.now);
    }

    /// Gives a socket room, and notifies the shard.
    pub(crate) fn make_room(&mut self, client: &Client, room: usize) {
        client.0.borrow_mut().room = room;
        self.notify(client);
    }

    /// The client sends `input`, or closes the connection (`None`).
    pub(crate) fn receive(&mut self, client: &Client, input: Option<&[u8]>) {
        client.0.borrow_mut().input = input.map(<[u8]>::to_vec);
        self.notify(client);
    }

    fn notify(&mut self, client: &Client) {
        let token = client.0.borrow().token;
        if let Some(token) = token {
            self.shard.notify_ready(token, self.now);
        }
    }

    /// Runs one turn and the storage queries that it needs.
    pub(crate) fn turn(&mut self) {
        self.shard.turn(self.now);
        while let Some(query) = self.shard.next_query() {
            let results = Rc::clone(&self.results);
            let query = query.run(move |result| results.borrow_mut().push(result));
            self.queries.push((self.now + QUERY_TIME_MAX, Box::pin(query)));
        }
        self.run_queries();
    }

    /// Runs the queries, drops those that are overdue, and hands the results to the shard.
    pub(crate) fn run_queries(&mut self) {
        let now = self.now;
        self.queries.retain_mut(|(deadline, query)| {
            let polled = catch_unwind(AssertUnwindSafe(|| query.now_or_never()));
            matches!(polled, Ok(None)) && now < *deadline
        });
        for result in self.results.take() {
            self.shard.complete(result, self.now);
        }
    }

    /// Runs turns until the shard has no work.
    pub(crate) fn settle(&mut self) {
        const TURNS_MAX: usize = 100_000;
        self.turn();
        for _ in 0..TURNS_MAX {
            if !self.shard.has_work() {
                return;
            }
            self.turn();
        }
        panic!("the shard always has work");
    }

    /// Moves the clock by `time`, in small steps.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(250).min(until - self.now);
            self.settle();
        }
    }

    /// The value of a counter or gauge, by its name in `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> i64 {
        let text = self.metrics.to_text(self.stentor.hub());
        let line = text.lines().find(|line| line.starts_with(&format!("stentor_{name} ")));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }
}
