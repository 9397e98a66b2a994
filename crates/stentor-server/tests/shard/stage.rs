//! What the scenarios have in common: a hub, a shard, and readers with sockets made of memory.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use http::Version;
use mio::{Interest, Registry, Token};
use stentor_hub::{Filters, Hub, Publish, Start, TopicFilter};
use stentor_server::shard::{Arrival, Shard, Socket};
use stentor_server::{Metrics, Stentor, StreamOptions};
use stentor_sse::{Decoder, Event, Item};
use tokio::time::Instant;

/// One end of a connection that takes as many bytes as it is told to.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) room: usize,
    pub(crate) written: Vec<u8>,
    /// What the client says: `None` once it has closed.
    pub(crate) says: Option<Vec<u8>>,
    pub(crate) finished: bool,
    token: Option<Token>,
}

#[derive(Clone, Default)]
pub(crate) struct Pipe(Rc<RefCell<Wire>>);

impl Socket for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let taken = bytes.len().min(wire.room);
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wire.written.extend_from_slice(&bytes[..taken]);
        wire.room -= taken;
        Ok(taken)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.write(&all)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let Some(says) = &mut wire.says else { return Ok(0) };
        let taken = says.len().min(into.len());
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        says.drain(..taken).zip(into).for_each(|(byte, place)| *place = byte);
        Ok(taken)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.borrow_mut().finished = true;
        Ok(())
    }

    fn watch(&mut self, _: &Registry, token: Token, _: Interest, _: bool) -> io::Result<()> {
        self.0.borrow_mut().token = Some(token);
        Ok(())
    }
}

/// A reader, seen from its own end.
#[derive(Clone)]
pub(crate) struct Client(Rc<RefCell<Wire>>);

impl Client {
    pub(crate) fn has(&self) -> String {
        String::from_utf8(self.0.borrow().written.clone()).unwrap()
    }

    /// What has come since the last call, without head and chunks.
    pub(crate) fn body(&self) -> String {
        let bytes = self.0.borrow().written.clone();
        String::from_utf8(body_of(&bytes)).unwrap()
    }

    /// The data of all events of the publishers.
    pub(crate) fn events(&self) -> Vec<String> {
        let told = |event: &Event| {
            event.event_type().is_none_or(|name| !name.as_str().starts_with("stentor."))
        };
        let events = self.items().into_iter().filter(told);
        events.map(|event| event.data().to_owned()).collect()
    }

    /// The same with `gap` and `end` where the reader was told one.
    pub(crate) fn told(&self) -> Vec<String> {
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

    /// The id that it would come back with.
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

    pub(crate) fn has_left(&self) -> bool {
        // The shard's end is gone with the reader.
        Rc::strong_count(&self.0) == 1
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.borrow().finished
    }
}

/// The payload of the chunks that are complete.
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
    pub(crate) shard: Shard<Pipe>,
    pub(crate) metrics: Metrics,
    pub(crate) now: Instant,
}

impl Stage {
    pub(crate) fn new(hub: Hub) -> Stage {
        let now = Instant::now();
        let stentor = Stentor::new(hub);
        let metrics = stentor.metrics().clone();
        let shard = Shard::new(metrics.clone(), now).unwrap();
        Stage { stentor, shard, metrics, now }
    }

    pub(crate) fn publish(&self, topic: &str, data: &str) {
        let topic = topic.parse().unwrap();
        self.stentor.hub().send(&topic, data).now_or_never().unwrap().unwrap();
    }

    pub(crate) fn end(&self, topic: &str) {
        let publish = Publish::end(topic.parse().unwrap(), "");
        self.stentor.hub().publish(publish).now_or_never().unwrap().unwrap();
    }

    /// A reader of comma-separated filters whose socket has room for `room` bytes.
    pub(crate) fn join(&mut self, filters: &str, start: Start, room: usize) -> Client {
        let filters = filters.split(',').map(|filter| filter.parse::<TopicFilter>().unwrap());
        let filters = Filters::new(filters).unwrap();
        let options = StreamOptions::new(Version::HTTP_11);
        let answer = self.stentor.stream(filters, start, options).now_or_never().unwrap();
        let wire = Wire { room, says: Some(Vec::new()), ..Wire::default() };
        let wire = Rc::new(RefCell::new(wire));
        let socket = Pipe(Rc::clone(&wire));
        let mut answer = answer.unwrap();
        self.shard.adopt(Arrival::new(&mut answer, Version::HTTP_11, socket).unwrap());
        Client(wire)
    }

    /// Gives a socket room, and has the shard know.
    pub(crate) fn make_room(&mut self, client: &Client, room: usize) {
        client.0.borrow_mut().room = room;
        self.stir(client);
    }

    /// The client says something, or closes.
    pub(crate) fn hear(&mut self, client: &Client, words: Option<&[u8]>) {
        client.0.borrow_mut().says = words.map(<[u8]>::to_vec);
        self.stir(client);
    }

    fn stir(&mut self, client: &Client) {
        let token = client.0.borrow().token;
        if let Some(token) = token {
            self.shard.notify_ready(token, self.now);
        }
    }

    /// One turn, with the errands that it asks for.
    pub(crate) fn turn(&mut self) {
        self.shard.turn(self.now);
        while let Some(query) = self.shard.next_query() {
            let result = query.run().now_or_never().unwrap();
            self.shard.complete(result, self.now);
        }
    }

    /// Turns until there is nothing to do.
    pub(crate) fn settle(&mut self) {
        const TURNS_MAX: usize = 100_000;
        self.turn();
        for _ in 0..TURNS_MAX {
            if !self.shard.has_work() {
                return;
            }
            self.turn();
        }
        panic!("the shard never rests");
    }

    /// Lets time pass, in small steps.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(250).min(until - self.now);
            self.settle();
        }
    }

    /// A counter or gauge by the name that `/metrics` has for it.
    pub(crate) fn metric(&self, name: &str) -> i64 {
        let text = self.metrics.to_text(self.stentor.hub());
        let line = text.lines().find(|line| line.starts_with(&format!("stentor_{name} ")));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }
}
