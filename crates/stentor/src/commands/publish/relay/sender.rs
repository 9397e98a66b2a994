//! Groups of events on their way into the topic.

use std::time::Duration;

use stentor_client::{Publish, PublishError, Published, Publisher};
use tokio::time::Instant;

use super::batch::Batch;
use crate::commands::publish::PubArgs;
use crate::commands::publish::retry::{Pauses, is_passing};
use crate::output::print_message;

/// How long the server remembers a key, with a minute in reserve.
const KEY_TIME: Duration = Duration::from_mins(9);

/// Publishes batches.
pub(super) struct Sender<'a> {
    publisher: &'a Publisher,
    args: &'a PubArgs,
}

/// What came of a batch.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) count: u64,
    /// The id of the last of its events.
    pub(super) last_id: Option<String>,
    /// How far the source is published with it.
    pub(super) position: String,
}

impl<'a> Sender<'a> {
    pub(super) fn new(publisher: &'a Publisher, args: &'a PubArgs) -> Sender<'a> {
        Sender { publisher, args }
    }

    /// Publishes a batch, however long the server is away. The source is at this position behind it.
    pub(super) async fn send(&self, mut batch: Batch, position: String) -> anyhow::Result<Sent> {
        let mut sent = Sent { count: 0, last_id: None, position };
        let mut pauses = Pauses::default();
        let mut in_doubt = None;
        while !batch.is_empty() {
            let error = match self.publish(&batch).await {
                Ok(published) => {
                    sent.add(published.count, published.last_id);
                    break;
                }
                Err(error) => error,
            };
            if is_passing(&error) {
                if error.may_be_published() {
                    in_doubt.get_or_insert_with(Instant::now);
                }
                pauses.pause(&error).await;
            } else {
                sent.add_published(&error, &mut batch);
                mend(&mut batch, error)?;
            }
        }
        pauses.end();
        if in_doubt.is_some_and(|since| since.elapsed() > KEY_TIME) {
            print_message(format_args!(
                "the server was away for longer than it knows what it published; up to {} events may \
                 be there twice",
                sent.count
            ));
        }
        Ok(sent)
    }

    async fn publish(&self, batch: &Batch) -> Result<Published, PublishError> {
        let mut publish = Publish::body("text/event-stream", batch.encode()).dedupe_by_id();
        if let Some(event_type) = &self.args.options.event_type {
            publish = publish.with_type(event_type);
        }
        if let Some(retry) = self.args.options.retry {
            publish = publish.with_retry(retry);
        }
        self.publisher.publish(&self.args.topic, publish).await
    }
}

impl Sent {
    fn add(&mut self, count: u64, last_id: Option<String>) {
        self.count += count;
        self.last_id = last_id.or(self.last_id.take());
    }

    /// Takes out of the batch what is published before an error.
    fn add_published(&mut self, error: &PublishError, batch: &mut Batch) {
        let Some(problem) = error.problem() else { return };
        let count = problem.published.unwrap_or_default();
        self.add(count, problem.last_id.clone());
        batch.drop_first(usize::try_from(count).unwrap_or(usize::MAX));
    }
}

/// Makes the first event of a batch fit, which the server refused; or that is the end.
fn mend(batch: &mut Batch, error: PublishError) -> Result<(), PublishError> {
    let PublishError::Refused { status, .. } = &error else { return Err(error) };
    match status.as_u16() {
        // The source gave its id to two events.
        422 if batch.rekey_first() => Ok(()),
        413 => {
            print_message(format_args!("an event is left out: {error}"));
            batch.drop_first(1);
            Ok(())
        }
        _ => Err(error),
    }
}
