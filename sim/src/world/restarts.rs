//! Drains, crashes and starts of the server.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::World;
use crate::node::Node;
use crate::publisher::Publisher;

/// Simulated time of a drain before the server is killed.
const DRAIN_MAX: Duration = Duration::from_secs(20);

impl World {
    /// Stops the server: at once, or after a drain.
    pub(super) fn restart(&mut self) {
        let Some(node) = self.node.as_mut().filter(|node| !node.is_draining) else { return };
        if self.rng.bool() {
            self.trace.add("drain", &[], String::new);
            self.counts.add("drain");
            node.drain();
            self.drain_until = Some(Instant::now() + DRAIN_MAX);
        } else {
            self.kill(true);
        }
    }

    /// Ends the server at once.
    pub(super) fn kill(&mut self, is_crash: bool) {
        self.trace.add(if is_crash { "crash" } else { "stop" }, &[], String::new);
        if is_crash {
            self.counts.add("crash");
        }
        self.drain_until = None;
        self.disk.crash(is_crash);
        for reader in &mut self.readers {
            reader.server_killed(&mut self.counts);
        }
        self.publishers.iter_mut().for_each(Publisher::server_killed);
        self.node = None;
    }

    /// Stops a server whose log has failed or whose drain is over, and starts one if there is none.
    pub(super) fn follow_server(&mut self) -> io::Result<()> {
        if let Some(node) = &mut self.node {
            if node.has_failed() {
                self.kill(true);
            } else if node.is_draining {
                let is_late = self.drain_until.is_some_and(|until| until <= Instant::now());
                if node.stop() {
                    self.kill(false);
                } else if is_late {
                    self.kill(true);
                }
            }
        }
        if self.node.is_none() && (self.is_calm || self.rng.u8(0..4) == 0) {
            self.trace.add("start", &[], String::new);
            self.node = Some(Node::start(&self.disk, &self.plan)?);
        }
        Ok(())
    }
}
