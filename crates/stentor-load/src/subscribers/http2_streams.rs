//! Subscribers whose streams are carried by HTTP/2 connections.

use mio::Registry;

use crate::clock::Nanos;
use crate::http::response::{Head, Part};
use crate::http2::Event;
use crate::plan::Plan;
use crate::stats::Stats;
use crate::subscribers::subscriber::{Link, is_stream, refusal};
use crate::subscribers::{Connections, Subscribers};

impl Subscribers {
    /// Opens the stream of a subscriber, and its connection if needed.
    pub(super) fn open_stream(
        &mut self,
        number: usize,
        plan: &Plan,
        stats: &mut Stats,
        registry: &Registry,
        now: Nanos,
    ) {
        let (Some(connections), Some(subscriber)) =
            (&mut self.connections, self.all.get_mut(number))
        else {
            return;
        };
        subscriber.restart(now);
        subscriber.link = Link::Waiting;
        let last_id = subscriber.scanner.last_id();
        let request = match plan.subscribe.subscribe_http2(plan.topic(number), last_id) {
            Ok(request) => request,
            Err(error) => return self.fail(number, plan, stats, &error.to_string()),
        };
        let (index, slot) = connections.place(number);
        match connections.open(index, plan, registry) {
            Ok(Some(connection)) => connection.request(slot, request.0, request.1),
            Ok(None) => return,
            Err(error) => return self.fail(number, plan, stats, &error.to_string()),
        }
        self.handle_streams(index, plan, stats);
    }

    /// Reads and writes on a connection, and handles the events of its streams.
    pub(super) fn handle_streams(&mut self, index: usize, plan: &Plan, stats: &mut Stats) {
        let mut now = None;
        while let Some((number, event)) = self.next_event(index) {
            let now = *now.get_or_insert_with(|| stats.clock.now());
            match event {
                Event::Data(data) => {
                    if let Some(subscriber) = self.all.get_mut(number) {
                        subscriber.receive(number, plan.topic(number), &data, now, stats);
                    }
                }
                Event::Head(head) if is_stream(&head) => {
                    self.opened(number, plan, stats, now);
                }
                Event::Head(head) => self.refused(number, &head, plan, stats),
                Event::Over(what) => self.fail(number, plan, stats, &what),
            }
        }
        let connection = self.connections.as_mut().and_then(|it| it.get_mut(index));
        if let Some(connection) = connection {
            let (reads, bytes) = connection.take_traffic();
            stats.reads += reads;
            stats.bytes += bytes;
        }
    }

    fn next_event(&mut self, index: usize) -> Option<(usize, Event)> {
        let connections = self.connections.as_mut()?;
        let (slot, event) = connections.get_mut(index)?.next()?;
        Some((connections.subscriber(index, slot), event))
    }

    /// Handles a response that opens no event stream.
    fn refused(&mut self, number: usize, head: &Head, plan: &Plan, stats: &mut Stats) {
        let data = self.connections.as_mut().map(|it| body_now(it, number)).unwrap_or_default();
        let body = (!data.is_empty()).then_some(Part::Body(&data));
        let text = refusal(head, body.as_ref());
        self.fail(number, plan, stats, &text);
    }
}

/// The bytes of a response body that have already arrived.
fn body_now(connections: &mut Connections, number: usize) -> bytes::Bytes {
    let (index, slot) = connections.place(number);
    connections.get_mut(index).map(|connection| connection.data_now(slot)).unwrap_or_default()
}
