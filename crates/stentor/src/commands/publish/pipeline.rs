//! Publishes a stream of events in order, without waiting for each response.

use std::collections::VecDeque;
use std::future::pending;
use std::mem::take;
use std::pin::pin;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::{Stream, StreamExt};
use stentor_client::{Publish, PublishAck, PublishError, Published};
use tokio::time::{Instant, timeout_at};

use crate::commands::connection::ConnectionArgs;
use crate::output::{print_line, print_message};
use crate::stdout_watch::StdoutWatch;

/// Time without a response after which a message is printed.
const LATE: Duration = Duration::from_secs(3);

/// The result of [`publish_all`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishedAll {
    /// Number of events published.
    pub(crate) count: u64,
    /// `false` if it stopped early because stdout was closed.
    pub(crate) is_complete: bool,
}

/// Publishes the events in order and prints their ids: for events sent as a group, the id of the last.
///
/// Waits while the server is away. Stops when stdout is closed; events already taken from the stream are
/// published first.
///
/// # Errors
/// The server refuses an event, or the stream yields an error; the events before it are published.
pub(crate) async fn publish_all(
    connection: &ConnectionArgs,
    topic: &str,
    events: impl Stream<Item = anyhow::Result<Publish>>,
) -> anyhow::Result<PublishedAll> {
    let publisher =
        connection.publisher().attempts_max(u32::MAX).retry_time(Duration::MAX).build()?;
    let queue = publisher.queue(topic)?;
    let stdout = StdoutWatch::new();
    let mut events = pin!(events.fuse());
    let mut pending_acks = PendingAcks::new();
    let (mut end, mut is_complete) = (None, true);
    loop {
        tokio::select! {
            biased;
            () = stdout.closed(), if end.is_none() => {
                is_complete = false;
                end = Some(Ok(()));
            }
            ack = pending_acks.next(), if !pending_acks.is_empty() => match ack {
                Ok(acknowledged) => pending_acks.print(acknowledged)?,
                Err(_) => break,
            },
            event = events.next(), if end.is_none() => match event {
                Some(Ok(event)) => match queue.send(event).await {
                    Ok(ack) => pending_acks.push(ack),
                    Err(_) => break,
                },
                Some(Err(error)) => end = Some(Err(error)),
                None => end = Some(Ok(())),
            },
            else => break,
        }
    }
    // If a send or an acknowledgement failed, this returns the error that caused it.
    let all = queue.finish().await.map_err(|error| {
        let text = error.to_string();
        let cause = error.cause.to_string();
        anyhow!(text.replacen(&cause, &connection.explain(topic, &error.cause), 1))
    })?;
    end.unwrap_or(Ok(()))?;
    Ok(PublishedAll { count: all.count, is_complete })
}

/// Acknowledgements that have not arrived yet, oldest first.
struct PendingAcks {
    waiting: VecDeque<(Instant, PublishAck)>,
    last_arrival: Instant,
    /// `true` after a message that the server is late.
    is_late: bool,
    last_printed: Option<String>,
}

impl PendingAcks {
    fn new() -> PendingAcks {
        PendingAcks {
            waiting: VecDeque::new(),
            last_arrival: Instant::now(),
            is_late: false,
            last_printed: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn push(&mut self, ack: PublishAck) {
        self.waiting.push_back((Instant::now(), ack));
    }

    /// Returns the next acknowledgement; waits indefinitely if none is expected. Cancel safe.
    async fn next(&mut self) -> Result<Published, PublishError> {
        let Some((sent, ack)) = self.waiting.front_mut() else { return pending().await };
        let deadline = self.last_arrival.max(*sent) + LATE;
        let in_time = timeout_at(deadline, &mut *ack).await;
        let result = if let Ok(result) = in_time {
            result
        } else {
            if !self.is_late {
                self.is_late = true;
                let seconds = LATE.as_secs();
                print_message(format_args!(
                    "no response from the server for {seconds} s; retrying"
                ));
            }
            ack.await
        };
        self.waiting.pop_front();
        self.last_arrival = Instant::now();
        if take(&mut self.is_late) && result.is_ok() {
            print_message(format_args!("the server responds again"));
        }
        result
    }

    fn print(&mut self, published: Published) -> anyhow::Result<()> {
        if let Some(id) = published.last_id
            && self.last_printed.as_ref() != Some(&id)
        {
            print_line(&id)?;
            self.last_printed = Some(id);
        }
        Ok(())
    }
}
