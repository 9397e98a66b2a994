//! The HTTP/2 connections of the subscribers.

use std::io;
use std::ops::Range;

use mio::Registry;

use crate::http2::Connection;
use crate::plan::Plan;

/// The connections, and which of them carries the stream of which subscriber.
#[derive(Debug)]
pub(crate) struct Connections {
    all: Vec<Option<Connection>>,
    streams_per_connection: usize,
    /// Number of subscribers that share connections. Passing ones (`--churn`) have a connection each.
    sharing: usize,
}

impl Connections {
    pub(crate) fn new(subscribers: usize, streams_per_connection: usize) -> Connections {
        let mut all = Vec::new();
        all.resize_with(subscribers.div_ceil(streams_per_connection), || None);
        Connections { all, streams_per_connection, sharing: subscribers }
    }

    /// Adds connections for passing subscribers.
    pub(crate) fn add_passing(&mut self, count: usize) {
        self.all.resize_with(self.all.len() + count, || None);
    }

    /// Number of open connections.
    pub(crate) fn count(&self) -> usize {
        self.all.iter().flatten().count()
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Connection> {
        self.all.get_mut(index)?.as_mut()
    }

    /// The connection of a subscriber, and the slot of its stream in it.
    pub(crate) fn place(&self, subscriber: usize) -> (usize, usize) {
        match subscriber.checked_sub(self.sharing) {
            None => {
                (subscriber / self.streams_per_connection, subscriber % self.streams_per_connection)
            }
            Some(passing) => (self.sharing.div_ceil(self.streams_per_connection) + passing, 0),
        }
    }

    /// The subscriber whose stream is in a slot of a connection.
    pub(crate) fn subscriber(&self, index: usize, slot: usize) -> usize {
        match index.checked_sub(self.sharing.div_ceil(self.streams_per_connection)) {
            None => index * self.streams_per_connection + slot,
            Some(passing) => self.sharing + passing,
        }
    }

    /// The subscribers whose streams share a connection with that of `subscriber`, itself included.
    pub(crate) fn peers(&self, subscriber: usize) -> Range<usize> {
        let (index, _) = self.place(subscriber);
        let first = self.subscriber(index, 0);
        first..self.subscriber(index + 1, 0).min(self.sharing).max(first + 1)
    }

    /// Returns the connection of a subscriber. Starts to connect if there is none.
    pub(crate) fn open(
        &mut self,
        index: usize,
        plan: &Plan,
        registry: &Registry,
    ) -> io::Result<Option<&mut Connection>> {
        let Some(place) = self.all.get_mut(index) else { return Ok(None) };
        if place.is_none() {
            let slots = self.streams_per_connection;
            *place = Some(Connection::start(&plan.subscribe_at, index, slots, registry)?);
        }
        Ok(place.as_mut())
    }

    pub(crate) fn on_ready(&mut self, index: usize, is_closed: bool) {
        if let Some(connection) = self.get_mut(index) {
            connection.on_ready(is_closed);
        }
    }

    /// Closes the stream of a subscriber. Closes its connection too if that carries no other stream.
    pub(crate) fn close_stream(&mut self, subscriber: usize) {
        let (index, slot) = self.place(subscriber);
        let Some(place) = self.all.get_mut(index) else { return };
        if let Some(connection) = place {
            connection.close(slot);
            if connection.is_unused() {
                *place = None;
            }
        }
    }

    /// The error text of a response head that did not arrive in time.
    pub(crate) fn timeout_text(&self, subscriber: usize) -> String {
        let (index, _) = self.place(subscriber);
        let connection = self.all.get(index).and_then(Option::as_ref);
        connection.map(Connection::timeout_text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscribers_fill_one_connection_after_the_other() {
        let connections = Connections::new(7, 3);
        let places: Vec<_> = (0..7).map(|subscriber| connections.place(subscriber)).collect();
        assert_eq!(places, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]);
        assert_eq!((connections.peers(4), connections.peers(6)), (3..6, 6..7));
    }

    #[test]
    fn a_passing_subscriber_has_its_own_connection() {
        let mut connections = Connections::new(7, 3);
        connections.add_passing(2);
        assert_eq!([connections.place(7), connections.place(8)], [(3, 0), (4, 0)]);
        assert_eq!((connections.subscriber(4, 0), connections.peers(8)), (8, 8..9));
    }
}
