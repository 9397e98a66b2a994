//! `stentor pub`.

mod content_type;
mod input;
mod lines;
mod options;
mod pipeline;
mod relay;
mod repeat;
mod retry;
mod upload;

use std::process::ExitCode;

use anyhow::anyhow;
use futures_util::{Stream, TryStreamExt};
use stentor_client::{Publish, PublishError};

use self::input::{Input, InputArgs};
use self::options::{Extras, Options};
pub(crate) use self::pipeline::publish_all;
use self::relay::RelayArgs;
use self::repeat::RepeatArgs;
use super::connection::ConnectionArgs;
use crate::output::{print_line, print_message};
use crate::values;

#[derive(Debug, clap::Args)]
pub(crate) struct PubArgs {
    /// Topic to publish to.
    #[arg(value_parser = values::topic)]
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
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: PubArgs) -> anyhow::Result<ExitCode> {
    let count = if let Some(source) = &args.relay.from {
        let relayed =
            relay::run(source, &args.relay, &args.connection, &args.topic, &args.options).await?;
        if relayed.is_complete {
            args.end().await?;
        }
        relayed.count
    } else if args.input.lines {
        args.publish_each(lines::of_stdin().map_ok(Publish::from)).await?
    } else if args.repeat.is_set() {
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
    /// Publishes each event separately as it arrives, and then the end. Returns the number of events.
    ///
    /// If stdout is closed, it stops early and leaves the topic open.
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
        let published = publish_all(&self.connection, &self.topic, events).await?;
        if published.is_complete {
            self.end().await?;
        }
        Ok(published.count)
    }

    /// Ends the topic if `--end` is given.
    async fn end(&self) -> anyhow::Result<()> {
        if let Some(reason) = &self.options.end {
            let response = self.connection.publisher().build()?.end(&self.topic, reason).await;
            let response = response.map_err(|error| self.failure(error))?;
            if response.repeat {
                self.report_repeated_end();
            }
            print_line(&response.last_id.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Publishes each input, and the end together with the last. Returns the number of events.
    async fn publish_inputs(&self) -> anyhow::Result<u64> {
        let publisher = self.connection.publisher().attempts_max(1).build()?;
        let count = self.input.count();
        let mut events = 0;
        for index in 0..count {
            let number = (count > 1).then_some(index as u64 + 1);
            let extras = Extras {
                key: self.options.key(number).or_else(|| Some(retry::new_key())),
                end: self.options.end.clone().filter(|_| index + 1 == count),
                ..self.options.extras(index == 0)
            };
            let response = match self.input.input(index, extras.end.is_some())? {
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
            let response = response.map_err(|error| self.failure(error))?;
            if response.repeat && extras.end.is_some() {
                self.report_repeated_end();
            }
            if let Some(id) = &response.last_id {
                print_line(id)?;
            }
            events += response.count;
        }
        Ok(events)
    }

    fn report_repeated_end(&self) {
        let topic = &self.topic;
        print_message(format_args!("{topic} has ended already; nothing was published"));
    }

    /// Describes the error, with the number of events that were published before it.
    fn failure(&self, error: PublishError) -> anyhow::Error {
        let published = error.problem().and_then(|problem| problem.published).unwrap_or_default();
        let text = self.connection.explain(&self.topic, &error);
        let error = anyhow::Error::from(error);
        let error = if error.to_string() == text { error } else { anyhow!(text) };
        if published == 0 {
            error
        } else {
            error.context(format!("stopped after {published} events"))
        }
    }
}
