//! Groups of events on their way into the topic.

use std::time::Duration;

use stentor_client::{Publish, PublishError, Published, Publisher};
use tokio::time::Instant;

use super::group::Group;
use crate::commands::publish::PubArgs;
use crate::commands::publish::once::{Pauses, is_passing};
use crate::output::talk;

/// How long the server remembers a key, with a minute in reserve.
const KEY_TIME: Duration = Duration::from_mins(9);

/// Publishes groups.
pub(super) struct Sender<'a> {
    publisher: &'a Publisher,
    args: &'a PubArgs,
}

/// What came of a group.
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

    /// Publishes a group, however long the server is away. The source is at this position behind it.
    pub(super) async fn send(&self, mut group: Group, position: String) -> anyhow::Result<Sent> {
        let mut sent = Sent { count: 0, last_id: None, position };
        let mut pauses = Pauses::default();
        let mut in_doubt = None;
        while !group.is_empty() {
            let error = match self.publish(&group).await {
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
                sent.add_published(&error, &mut group);
                mend(&mut group, error)?;
            }
        }
        pauses.end();
        if in_doubt.is_some_and(|since| since.elapsed() > KEY_TIME) {
            talk(format_args!(
                "the server was away for longer than it knows what it published; up to {} events may \
                 be there twice",
                sent.count
            ));
        }
        Ok(sent)
    }

    async fn publish(&self, group: &Group) -> Result<Published, PublishError> {
        let mut publish = Publish::body("text/event-stream", group.encode()).dedupe_by_id();
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

    /// Takes out of the group what is published before an error.
    fn add_published(&mut self, error: &PublishError, group: &mut Group) {
        let Some(problem) = error.problem() else { return };
        let count = problem.published.unwrap_or_default();
        self.add(count, problem.last_id.clone());
        group.drop_first(usize::try_from(count).unwrap_or(usize::MAX));
    }
}

/// Makes the first event of a group fit, which the server refused; or that is the end.
fn mend(group: &mut Group, error: PublishError) -> Result<(), PublishError> {
    let PublishError::Refused { status, .. } = &error else { return Err(error) };
    match status.as_u16() {
        // The source gave its id to two events.
        422 if group.rekey_first() => Ok(()),
        413 => {
            talk(format_args!("an event is left out: {error}"));
            group.drop_first(1);
            Ok(())
        }
        _ => Err(error),
    }
}
