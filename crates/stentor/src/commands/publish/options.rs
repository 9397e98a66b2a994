//! Options that go with each event.

use std::time::Duration;

use stentor_client::Publish;

use crate::values;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Options {
    /// Event type [default: message].
    #[arg(long = "type", value_name = "NAME", value_parser = values::event_type)]
    pub(super) event_type: Option<String>,

    /// Time that subscribers wait before they reconnect, such as `3s`; at most an hour.
    #[arg(long, value_name = "TIME", value_parser = values::retry)]
    pub(super) retry: Option<Duration>,

    /// End the topic after this event, with an optional reason. Without data, only end it.
    #[arg(
        long,
        value_name = "REASON",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    pub(super) end: Option<String>,

    /// End the topic with the reason `producer lost` if nothing is published for this long, such as
    /// `30s`; at most a day.
    #[arg(long, value_name = "TIME", value_parser = values::lease, conflicts_with = "from")]
    lease: Option<Duration>,

    /// Publish at most once per key within ten minutes. With several events the keys are KEY-1, KEY-2, …
    #[arg(long, value_name = "KEY", value_parser = values::idempotency_key)]
    #[arg(conflicts_with = "from")]
    idempotency_key: Option<String>,
}

impl Options {
    /// Returns the key of the event with this number, or of the only event.
    pub(super) fn key(&self, number: Option<u64>) -> Option<String> {
        let key = self.idempotency_key.as_ref()?;
        Some(number.map_or_else(|| key.clone(), |number| format!("{key}-{number}")))
    }

    /// Returns the extras of an event. Only the first one sets the lease: each event renews it.
    pub(super) fn extras(&self, is_first: bool) -> Extras<'_> {
        let lease = self.lease.filter(|_| is_first);
        Extras { options: self, lease, key: None, end: None }
    }
}

/// The options of one event.
pub(super) struct Extras<'a> {
    pub(super) options: &'a Options,
    pub(super) lease: Option<Duration>,
    pub(super) key: Option<String>,
    pub(super) end: Option<String>,
}

impl Extras<'_> {
    pub(super) fn apply<B>(&self, mut publish: Publish<B>) -> Publish<B> {
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
