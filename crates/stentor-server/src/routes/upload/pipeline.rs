//! Moves the events of an upload into the log: one group in flight, the next one being collected.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use http::{Response, StatusCode};
use stentor_hub::storage::KeyHash;
use stentor_hub::{Body as RecordBody, Entry, Key, KeyContent, Publish, PublishError, Published};
use tokio::time::{Instant, timeout_at};

use super::progress::Progress;
use crate::body::Body;
use crate::context::Stentor;
use crate::idempotency::{extend_hash, hash_of};
use crate::incoming::IncomingBody;
use crate::pace::Pace;
use crate::pool::Pool;
use crate::problem::{Code, Problem};
use crate::routes::publish::append::{append, set_lease};
use crate::routes::publish::options::PublishOptions;

/// Maximum number of events in a group. Groups save a commit per event, and the limit bounds the
/// memory for a chunk of many small events.
const GROUP_EVENTS_MAX: usize = 1_000;
/// Maximum size of a group in bytes, unless a single event is larger.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// Memory of an event beside its data, type and key, in bytes. A small event takes up little of a body, so this is
/// counted against the budget of bodies too.
const EVENT_OVERHEAD_BYTES: usize = 512;
/// Maximum number of bytes that an upload holds of an incomplete event while it pauses for any time. The rest of a
/// larger event must arrive at a [`Pace`], so that silent uploads cannot use up the memory for bodies.
const PAUSE_BYTES_MAX: usize = 4 << 10;
/// Number of times that a silent upload renews its key within the key window. More than one, so that a
/// failed renewal can be repeated in time.
const RENEWALS: u32 = 4;
/// Minimum time between two renewals.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

type Outcomes = Result<Vec<Result<Published, PublishError>>, PublishError>;

/// An upload in progress.
///
/// The collected group is submitted as soon as the group in flight is committed, and not earlier: an
/// event must not be published after one that is refused.
pub(super) struct Pipeline<'a> {
    stentor: &'a Stentor,
    options: &'a PublishOptions,
    incoming: &'a mut IncomingBody,
    collected: Group,
    charge: Charge,
    /// The submitted group. The log takes all of it or nothing, also if this future is dropped.
    in_flight: Option<BoxFuture<'a, Outcomes>>,
    progress: Progress,
    /// Number of events so far, part of the idempotency key.
    index: u64,
    /// Running hash of the events so far, part of the idempotency key.
    hash: KeyHash,
    /// The newest event under the idempotency key.
    newest: Option<KeyContent>,
    /// The pace of an incomplete event that is larger than [`PAUSE_BYTES_MAX`], and the number of events before it.
    pace: Option<(u64, Pace)>,
    /// Time of the next renewal of the key, if no event arrives before.
    renewal: Instant,
}

#[derive(Default)]
struct Group {
    publishes: Vec<Publish>,
    /// Bytes of data, types and own keys. Not more than the bytes of the body they were read from, apart
    /// from a type that the query sets.
    bytes: usize,
}

/// The memory that is reserved for an upload, without that of the group in flight.
struct Charge {
    /// Bytes of chunks, of an incomplete event, and of collected events.
    bytes: usize,
    /// Number of collected events whose [`Charge::event_bytes`] are reserved.
    events: usize,
    /// Bytes of each event beside its own: [`EVENT_OVERHEAD_BYTES`], and its copy of the key of the upload.
    event_bytes: usize,
}

impl Charge {
    fn total(&self, bytes: usize, events: usize) -> usize {
        bytes.saturating_add(events.saturating_mul(self.event_bytes))
    }
}

impl<'a> Pipeline<'a> {
    /// Starts an upload and the lease of its topic.
    pub(super) async fn begin(
        stentor: &'a Stentor,
        options: &'a PublishOptions,
        incoming: &'a mut IncomingBody,
    ) -> Result<Pipeline<'a>, Problem> {
        set_lease(stentor, options).await?;
        let key_bytes = options.key.as_ref().map_or(0, String::len);
        let event_bytes = EVENT_OVERHEAD_BYTES + key_bytes;
        Ok(Pipeline {
            stentor,
            options,
            incoming,
            collected: Group::default(),
            charge: Charge { bytes: 0, events: 0, event_bytes },
            in_flight: None,
            progress: Progress::default(),
            index: 0,
            hash: KeyHash::default(),
            newest: None,
            pace: None,
            renewal: Instant::now(),
        })
    }

    /// Waits for the next chunk of the body and publishes meanwhile. Returns `None` at the end of the
    /// body. `partial` is the number of bytes that the caller holds of an incomplete event.
    pub(super) async fn chunk(&mut self, partial: usize) -> Result<Option<Bytes>, Problem> {
        self.note_partial(partial);
        match self.publish_until_chunk_in_time(partial).await? {
            Ok(Some(chunk)) => {
                // Everything that arrives renews the lease, blank lines and comments too.
                self.stentor.hub().renew_lease(&self.options.topic);
                self.reserve(partial, chunk.len()).await?;
                Ok(Some(chunk))
            }
            Ok(None) => Ok(None),
            Err(problem) => Err(self.fail(problem).await),
        }
    }

    /// Begins the pace of an incomplete event, goes on with it, or ends it.
    fn note_partial(&mut self, partial: usize) {
        let before = self.index + self.progress.skipped;
        let paced = self.pace.take().filter(|(events, _)| *events == before);
        if partial > PAUSE_BYTES_MAX {
            let (_, mut pace) = paced.unwrap_or_else(|| (before, self.stentor.pace()));
            pace.arrived(partial);
            self.pace = Some((before, pace));
        }
    }

    /// Waits for the next chunk. A large event that arrives too slowly is an error.
    async fn publish_until_chunk_in_time(
        &mut self,
        partial: usize,
    ) -> Result<Result<Option<Bytes>, Problem>, Problem> {
        let Some((_, pace)) = self.pace else { return self.publish_until_chunk(partial).await };
        let chunk = timeout_at(pace.deadline(), self.publish_until_chunk(partial)).await;
        chunk.unwrap_or_else(|_| Ok(Err(pace.missed())))
    }

    async fn publish_until_chunk(
        &mut self,
        partial: usize,
    ) -> Result<Result<Option<Bytes>, Problem>, Problem> {
        loop {
            if self.in_flight.is_none() {
                self.submit().await?;
            }
            // Returns the memory of committed events. Shrinking never waits.
            let _ = self.try_charge(partial + self.collected.bytes, self.collected.publishes.len());
            let outcomes = {
                let Some(in_flight) = &mut self.in_flight else {
                    return Ok(self.chunk_while_idle().await);
                };
                let chunk = pin!(self.incoming.chunk());
                match select(in_flight, chunk).await {
                    Either::Left((outcomes, _)) => outcomes,
                    Either::Right((chunk, _)) => return Ok(chunk),
                }
            };
            self.record(outcomes)?;
        }
    }

    /// Waits for the next chunk while no event is on its way. Renews the idempotency key, so that it
    /// is remembered as long as the upload is open.
    async fn chunk_while_idle(&mut self) -> Result<Option<Bytes>, Problem> {
        while let (Some(name), Some(newest)) = (&self.options.key, self.newest.clone()) {
            if let Ok(chunk) = timeout_at(self.renewal, self.incoming.chunk()).await {
                return chunk;
            }
            let key = self.key(name, newest);
            if let Err(error) = self.stentor.hub().renew_key(key).await {
                tracing::debug!(%error, "cannot renew the idempotency key of an upload; trying again later");
            }
            self.postpone_renewal();
        }
        self.incoming.chunk().await
    }

    fn postpone_renewal(&mut self) {
        let window = self.stentor.config().key_window;
        self.renewal = Instant::now() + (window / RENEWALS).max(RENEWAL_MIN);
    }

    /// Reserves memory for a chunk. If none is left, the events of this upload are published first.
    async fn reserve(&mut self, partial: usize, chunk: usize) -> Result<(), Problem> {
        let all = partial + chunk + self.collected.bytes;
        if !self.try_charge(all, self.collected.publishes.len()) {
            self.publish().await?;
            let start = Instant::now();
            self.charge(partial, 0).await?;
            self.charge(partial + chunk, 0).await?;
            if let Some((_, pace)) = &mut self.pace {
                pace.leave_out_since(start);
            }
        }
        Ok(())
    }

    /// Reserves memory for one more collected event. If none is left, the events before it are published first.
    async fn reserve_event(&mut self) -> Result<(), Problem> {
        let events = self.collected.publishes.len() + 1;
        if events <= self.charge.events {
            return Ok(());
        }
        // Twice as many as before, as the list of them grows.
        let room = events.next_power_of_two().min(GROUP_EVENTS_MAX);
        if !self.try_charge(self.charge.bytes, room) {
            self.publish().await?;
            self.charge(self.charge.bytes, 1).await?;
        }
        Ok(())
    }

    /// Sets the memory that is reserved for this upload. Returns `false`, and changes nothing, if there is no room now.
    fn try_charge(&mut self, bytes: usize, events: usize) -> bool {
        let has_room = self.incoming.try_reserve(self.charge.total(bytes, events));
        if has_room {
            (self.charge.bytes, self.charge.events) = (bytes, events);
        }
        has_room
    }

    /// Sets the memory that is reserved for this upload. Waits for room, while nothing is collected.
    async fn charge(&mut self, bytes: usize, events: usize) -> Result<(), Problem> {
        match self.incoming.reserve(self.charge.total(bytes, events)).await {
            Ok(()) => {
                (self.charge.bytes, self.charge.events) = (bytes, events);
                Ok(())
            }
            Err(no_room) => Err(self.progress.add_to(no_room.into())),
        }
    }

    /// Adds an event or the end of the topic. `own_key` is the idempotency key of the event itself
    /// (`dedupe=id`).
    pub(super) async fn push(
        &mut self,
        body: RecordBody,
        own_key: Option<String>,
    ) -> Result<(), Problem> {
        let bytes = body.bytes() + own_key.as_ref().map_or(0, String::len);
        let mut entries = vec![Entry::new(self.options.topic.clone(), body)];
        let key = match (&self.options.key, own_key) {
            (Some(name), _) => {
                let before = self.hash;
                let hashing = move || (extend_hash(before, &entries), entries);
                (self.hash, entries) = match self.stentor.pool().run(bytes, hashing).await {
                    Ok(hashed) => hashed,
                    Err(problem) => return Err(self.fail(problem).await),
                };
                let part = KeyContent::Part { index: self.index, before, after: self.hash };
                self.newest = Some(part.clone());
                Some(self.key(name, part))
            }
            (None, Some(name)) => {
                let hashing = move || (hash_of(&entries), entries);
                let hashed = self.stentor.pool().run(bytes, hashing).await;
                let hash;
                (hash, entries) = match hashed {
                    Ok(hashed) => hashed,
                    Err(problem) => return Err(self.fail(problem).await),
                };
                Some(self.key(&name, KeyContent::Whole(hash)))
            }
            (None, None) => None,
        };
        let publish = Publish::new(entries, key).requiring_previous();
        if let Err(error) = publish.validate() {
            return Err(self.fail(error.into()).await);
        }
        self.reserve_event().await?;
        self.index += 1;
        self.collected.publishes.push(publish);
        self.collected.bytes += bytes;
        if self.is_full() { self.submit().await } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        self.collected.publishes.len() >= GROUP_EVENTS_MAX
            || self.collected.bytes >= GROUP_BYTES_MAX
    }

    pub(super) fn pool(&self) -> &Pool {
        self.stentor.pool()
    }

    /// Counts an event that is left out.
    pub(super) fn skip(&mut self) {
        self.progress.skipped += 1;
    }

    /// Publishes the remaining events and, if the options say so, ends the topic. Call it at the clean
    /// end of the body.
    pub(super) async fn finish(mut self) -> Result<Response<Body>, Problem> {
        if self.index == 0 && self.options.end.is_some() {
            // A body without events is a request that only ends the topic.
            return append(self.stentor, self.options, None, None).await;
        }
        self.publish().await?;
        let events = self.progress;
        if let Some(reason) = self.options.end.clone() {
            self.end(reason).await?;
        }
        Ok(events.response(self.progress.status(), &self.options.topic))
    }

    /// Ends the topic after the events. If all of them were repeats, it may have ended before.
    async fn end(&mut self, reason: String) -> Result<(), Problem> {
        let ended = match self.push(RecordBody::End { reason }, None).await {
            Ok(()) => self.publish().await,
            refused => refused,
        };
        let is_repeat = self.progress.status() == StatusCode::OK;
        match ended {
            Err(problem) if problem.has_code(Code::TopicEnded) && is_repeat => Ok(()),
            ended => ended,
        }
    }

    /// Ends the upload with `problem`, after the events before it are published.
    pub(super) async fn fail(&mut self, problem: Problem) -> Problem {
        match self.publish().await {
            Ok(()) => self.progress.add_to(problem),
            Err(earlier) => earlier,
        }
    }

    /// Publishes everything that was added so far.
    async fn publish(&mut self) -> Result<(), Problem> {
        self.submit().await?;
        self.wait_for_commit().await
    }

    /// Submits the collected group after the group in flight is committed.
    async fn submit(&mut self) -> Result<(), Problem> {
        self.wait_for_commit().await?;
        let Group { publishes, bytes } = std::mem::take(&mut self.collected);
        if publishes.is_empty() {
            return Ok(());
        }
        // The group keeps its memory reserved until it is committed, whatever happens to this request.
        let events = publishes.len();
        let memory = self.incoming.queue(self.charge.total(bytes, events));
        self.charge.bytes = self.charge.bytes.saturating_sub(bytes);
        self.charge.events = self.charge.events.saturating_sub(events);
        let mut outcomes = self.stentor.hub().publish_all_with_guard(publishes, memory).boxed();
        // The first poll submits the group.
        if let Some(outcomes) = (&mut outcomes).now_or_never() {
            return self.record(outcomes);
        }
        self.in_flight = Some(outcomes);
        Ok(())
    }

    /// Waits until no group is in flight.
    async fn wait_for_commit(&mut self) -> Result<(), Problem> {
        match &mut self.in_flight {
            Some(in_flight) => {
                let outcomes = in_flight.await;
                self.record(outcomes)
            }
            None => Ok(()),
        }
    }

    /// Records the outcomes of a group. The upload fails at the first refused event; the log has not
    /// published the events after it.
    fn record(&mut self, outcomes: Outcomes) -> Result<(), Problem> {
        self.in_flight = None;
        self.postpone_renewal();
        let outcomes = outcomes.map_err(|error| self.progress.add_to(error.into()))?;
        for outcome in outcomes {
            let published = outcome.map_err(|error| self.progress.add_to(error.into()))?;
            self.stentor.metrics().published.inc_by(u64::from(!published.repeat));
            self.progress.record(published);
        }
        Ok(())
    }

    fn key(&self, name: &str, content: KeyContent) -> Key {
        Key {
            scope: Some(self.options.topic.clone()),
            publisher: String::new(),
            name: name.to_owned(),
            window: self.stentor.config().key_window,
            source: self.options.source,
            content,
        }
    }
}
