//! Publishes the batches of a relay.

use std::time::Duration;

use stentor_client::{Publish, PublishError, Published, Publisher};
use tokio::time::Instant;

use super::batch::Batch;
use crate::commands::publish::options::Options;
use crate::commands::publish::retry::{Backoff, is_temporary};
use crate::output::print_message;

/// Time for which the server certainly remembers a key: ten minutes, with one in reserve.
const KEY_TIME: Duration = Duration::from_mins(9);

/// Publishes batches to one topic.
pub(super) struct Sender<'a> {
    publisher: &'a Publisher,
    topic: &'a str,
    options: &'a Options,
}

/// An acknowledged batch.
#[derive(Debug)]
pub(super) struct Sent {
    /// The keys of its published events.
    pub(super) keys: Vec<String>,
    /// `true` if the server had all of its events before the first attempt.
    pub(super) is_repeat: bool,
    /// The id of the last event.
    pub(super) last_id: Option<String>,
    /// The position of the source after the batch.
    pub(super) position: String,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        publisher: &'a Publisher,
        topic: &'a str,
        options: &'a Options,
    ) -> Sender<'a> {
        Sender { publisher, topic, options }
    }

    /// Publishes a batch, and retries without a time limit while the server is away. `position` is the
    /// position of the source after the batch.
    ///
    /// # Errors
    /// The server refuses the batch for a reason other than one bad event.
    pub(super) async fn send(&self, mut batch: Batch, position: String) -> anyhow::Result<Sent> {
        let mut sent = Sent { keys: Vec::new(), is_repeat: false, last_id: None, position };
        let mut backoff = Backoff::default();
        let mut in_doubt_since = None;
        while !batch.is_empty() {
            let error = match self.publish(&batch).await {
                Ok(published) => {
                    // After an attempt without a response, the events can be from that attempt.
                    sent.is_repeat =
                        published.repeat && sent.keys.is_empty() && in_doubt_since.is_none();
                    sent.add(published.count, published.last_id, &batch);
                    break;
                }
                Err(error) => error,
            };
            if is_temporary(&error) {
                if error.may_be_published() {
                    in_doubt_since.get_or_insert_with(Instant::now);
                }
                backoff.pause(&error).await;
            } else {
                sent.add_partial(&error, &mut batch);
                repair(&mut batch, error)?;
            }
        }
        backoff.end();
        if in_doubt_since.is_some_and(|since| since.elapsed() > KEY_TIME) {
            print_message(format_args!(
                "the server was away longer than it remembers events; up to {} events may be duplicated",
                sent.keys.len()
            ));
        }
        Ok(sent)
    }

    async fn publish(&self, batch: &Batch) -> Result<Published, PublishError> {
        let mut publish = Publish::body("text/event-stream", batch.encode()).dedupe_by_id();
        if let Some(event_type) = &self.options.event_type {
            publish = publish.with_type(event_type);
        }
        if let Some(retry) = self.options.retry {
            publish = publish.with_retry(retry);
        }
        self.publisher.publish(self.topic, publish).await
    }
}

impl Sent {
    /// Adds the first `count` events of the batch.
    fn add(&mut self, count: u64, last_id: Option<String>, batch: &Batch) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.keys.extend(batch.keys().take(count).map(str::to_owned));
        self.last_id = last_id.or(self.last_id.take());
    }

    /// Moves the events that were published before the error out of the batch.
    fn add_partial(&mut self, error: &PublishError, batch: &mut Batch) {
        let Some(problem) = error.problem() else { return };
        let count = problem.published.unwrap_or_default();
        self.add(count, problem.last_id.clone(), batch);
        batch.drop_first(usize::try_from(count).unwrap_or(usize::MAX));
    }
}

/// Changes or drops the first event of a batch, which the server refused.
///
/// # Errors
/// The refusal is not about this event.
fn repair(batch: &mut Batch, error: PublishError) -> Result<(), PublishError> {
    let PublishError::Refused { status, .. } = &error else { return Err(error) };
    match status.as_u16() {
        // The source used its id for two events.
        422 if batch.rekey_first() => Ok(()),
        // It is too large, or its type is too long.
        413 => {
            leave_out_first(batch, &error);
            Ok(())
        }
        400 if has_code(&error, "event-type") => {
            leave_out_first(batch, &error);
            Ok(())
        }
        _ => Err(error),
    }
}

fn has_code(error: &PublishError, code: &str) -> bool {
    error.problem().and_then(|problem| problem.code.as_deref()) == Some(code)
}

fn leave_out_first(batch: &mut Batch, error: &PublishError) {
    print_message(format_args!("an event is left out: {error}"));
    batch.drop_first(1);
}
