//! `stentor pub`.

mod content_type;
mod input;
mod lines;
mod pipeline;
mod relay;
mod repeat;
mod retry;
mod upload;

use std::process::ExitCode;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use stentor_client::{Publish, PublishError};

use self::input::{Input, InputArgs};
pub(crate) use self::pipeline::publish_all;
use self::relay::RelayArgs;
use self::repeat::RepeatArgs;
use super::connection::ConnectionArgs;
use crate::duration;
use crate::output::{print_line, print_message};

#[derive(Debug, clap::Args)]
pub(crate) struct PubArgs {
    /// The topic.
    topic: String,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    repeat: RepeatArgs,

    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    relay: RelayArgs,

    #[command(flatten)]
    server: ConnectionArgs,
}

/// What is published with each event.
#[derive(Clone, Debug, clap::Args)]
struct Options {
    /// The name of the event, for readers that tell events apart.
    #[arg(long = "type", value_name = "NAME")]
    event_type: Option<String>,

    /// How long readers are to wait before they reconnect, such as `3s`; at most an hour.
    #[arg(long, value_name = "TIME", value_parser = duration::parse_arg)]
    retry: Option<Duration>,

    /// After this the topic has ended, for this reason. Without any data it only ends.
    #[arg(
        long,
        value_name = "REASON",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    end: Option<String>,

    /// End the topic, for the reason `producer lost`, when nothing is published to it for so long,
    /// such as `30s`; at most a day.
    #[arg(long, value_name = "TIME", value_parser = duration::parse_arg, conflicts_with = "from")]
    lease: Option<Duration>,

    /// Publish once in ten minutes under this key, however often the command is run. Of several
    /// events each has a key of its own: this one with `-1`, `-2` and so on behind it.
    #[arg(long, value_name = "KEY", conflicts_with = "from")]
    idempotency_key: Option<String>,
}

pub(crate) async fn run(args: PubArgs) -> anyhow::Result<ExitCode> {
    let count = if let Some(source) = &args.relay.from {
        let count = relay::run(source, &args).await?;
        args.end().await?;
        count
    } else if args.input.lines {
        args.publish_each(lines::of_stdin().map_ok(Publish::from)).await?
    } else if args.repeat.is_meant() {
        let body = args.input.body(args.options.end.is_some())?;
        args.publish_each(args.repeat.stream(|number| body.numbered(number))).await?
    } else {
        args.publish_inputs().await?
    };
    if count != 1 {
        print_message(format_args!("published {count} events"));
    }
    Ok(ExitCode::SUCCESS)
}

impl PubArgs {
    /// Publishes each by itself, as they come, and then the end; tells how many.
    async fn publish_each(
        &self,
        events: impl Stream<Item = anyhow::Result<Publish>>,
    ) -> anyhow::Result<u64> {
        let mut number = 0;
        let events = events.map_ok(|event| {
            number += 1;
            let key = self.options.key(Some(number));
            Extras { key, ..self.options.extras(number == 1) }.apply(event)
        });
        let count = publish_all(&self.server, &self.topic, events).await?;
        self.end().await?;
        Ok(count)
    }

    /// Ends the topic, if it is to end.
    async fn end(&self) -> anyhow::Result<()> {
        if let Some(reason) = &self.options.end {
            let answer = self.server.publisher().build()?.end(&self.topic, reason).await?;
            print_line(&answer.last_id.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Publishes what there is, one after the other, and with the last one the end; tells how many
    /// events that were.
    async fn publish_inputs(&self) -> anyhow::Result<u64> {
        let publisher = self.server.publisher().attempts_max(1).build()?;
        let count = self.input.count();
        let mut events = 0;
        for index in 0..count {
            let number = (count > 1).then_some(index as u64 + 1);
            let extras = Extras {
                key: self.options.key(number).or_else(|| Some(retry::new_key())),
                end: self.options.end.clone().filter(|_| index + 1 == count),
                ..self.options.extras(index == 0)
            };
            let answer = match self.input.input(index, extras.end.is_some())? {
                Input::Whole(body) => {
                    let publish = extras.apply(body.publish());
                    retry::until_done(async || {
                        publisher.publish(&self.topic, publish.clone()).await
                    })
                    .await
                }
                Input::Upload { path, content_type } => {
                    upload::upload(&publisher, &self.topic, &path, &content_type, &extras).await
                }
            };
            let answer = answer.map_err(with_published)?;
            if let Some(id) = &answer.last_id {
                print_line(id)?;
            }
            events += answer.count;
        }
        Ok(events)
    }
}

impl Options {
    /// The key of the event with this number, or of the only one.
    fn key(&self, number: Option<u64>) -> Option<String> {
        let key = self.idempotency_key.as_ref()?;
        Some(number.map_or_else(|| key.clone(), |number| format!("{key}-{number}")))
    }

    /// What comes with an event. Every further event renews the lease.
    fn extras(&self, is_first: bool) -> Extras<'_> {
        let lease = self.lease.filter(|_| is_first);
        Extras { options: self, lease, key: None, end: None }
    }
}

/// What comes with an event.
struct Extras<'a> {
    options: &'a Options,
    lease: Option<Duration>,
    key: Option<String>,
    end: Option<String>,
}

impl Extras<'_> {
    fn apply<B>(&self, mut publish: Publish<B>) -> Publish<B> {
        if let Some(event_type) = &self.options.event_type {
            publish = publish.with_type(event_type);
        }
        if let Some(retry) = self.options.retry {
            publish = publish.with_retry(retry);
        }
        if let Some(lease) = self.lease {
            publish = publish.with_lease(lease);
        }
        if let Some(key) = &self.key {
            publish = publish.with_idempotency_key(key);
        }
        if let Some(reason) = &self.end {
            publish = publish.and_end(reason);
        }
        publish
    }
}

/// The error, with what it left behind.
fn with_published(error: PublishError) -> anyhow::Error {
    let published = error.problem().and_then(|problem| problem.published).unwrap_or_default();
    let error = anyhow::Error::from(error);
    if published == 0 { error } else { error.context(format!("stopped after {published} events")) }
}
