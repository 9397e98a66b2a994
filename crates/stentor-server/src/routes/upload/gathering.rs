//! The events of an upload on their way into the log: one group in flight, and the next one gathered.

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
use crate::idempotency::{chain, hash_of};
use crate::incoming::Incoming;
use crate::problem::Problem;
use crate::routes::publish::append::{append, grant};
use crate::routes::publish::options::Options;

/// Events handed to the log at once, so that a large piece of many small events does not wait for
/// the disk once for each, nor hold more than it must.
const GROUP_EVENTS_MAX: usize = 1_000;
/// Bytes of events handed to the log at once, but for an event that is larger.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// An upload that is silent restarts the window of its key so many times within it, so that one renewal
/// may fail, but no more often than that.
const RENEWALS: u32 = 4;
const RENEWAL_MIN: Duration = Duration::from_secs(1);

type Outcomes = Result<Vec<Result<Published, PublishError>>, PublishError>;

/// An upload under way. What is gathered is handed in as soon as what is in flight has landed, and not
/// before: it must not be published behind an event that is refused.
pub(super) struct Gathering<'a> {
    stentor: &'a Stentor,
    options: &'a Options,
    incoming: Incoming,
    gathered: Group,
    flight: Option<Flight<'a>>,
    progress: Progress,
    /// How many events were taken up and their running hash, for an idempotency key.
    index: u64,
    hash: KeyHash,
    /// The newest of these under that key, and when its window is restarted if nothing comes.
    newest: Option<KeyContent>,
    renewal: Instant,
}

#[derive(Default)]
struct Group {
    publishes: Vec<Publish>,
    /// Of data, types and keys: no more than the bytes of the body that they came from, but for a type
    /// that the query names.
    bytes: usize,
}

/// A group that was handed in. The log has it all or not at all, whether or not anybody waits.
struct Flight<'a> {
    landing: BoxFuture<'a, Outcomes>,
    bytes: usize,
}

impl<'a> Gathering<'a> {
    /// An upload that has just begun, and with it the lease of its topic.
    pub(super) async fn begin(
        stentor: &'a Stentor,
        options: &'a Options,
        incoming: Incoming,
    ) -> Result<Gathering<'a>, Problem> {
        grant(stentor, options).await?;
        Ok(Gathering {
            stentor,
            options,
            incoming,
            gathered: Group::default(),
            flight: None,
            progress: Progress::default(),
            index: 0,
            hash: KeyHash::default(),
            newest: None,
            renewal: Instant::now(),
        })
    }

    /// The next piece of the body; `None` at its clean end. While it is awaited, what is gathered goes
    /// into the log. So many bytes of an event that is not whole are held beside it.
    pub(super) async fn piece(&mut self, partial: usize) -> Result<Option<Bytes>, Problem> {
        match self.publish_until_piece(partial).await? {
            Ok(Some(piece)) => {
                // Whatever comes is a sign of life, be it a blank line or a comment.
                self.stentor.hub().renew_lease(&self.options.topic);
                self.hold(partial, piece.len()).await?;
                Ok(Some(piece))
            }
            Ok(None) => Ok(None),
            Err(problem) => Err(self.fail(problem).await),
        }
    }

    async fn publish_until_piece(
        &mut self,
        partial: usize,
    ) -> Result<Result<Option<Bytes>, Problem>, Problem> {
        loop {
            if self.flight.is_none() {
                self.hand_in().await?;
            }
            // What has landed is given back.
            let _ = self.incoming.hold(partial + self.bytes()).now_or_never();
            let outcomes = {
                let Some(flight) = &mut self.flight else { return Ok(self.quiet_piece().await) };
                let piece = pin!(self.incoming.piece());
                match select(&mut flight.landing, piece).await {
                    Either::Left((outcomes, _)) => outcomes,
                    Either::Right((piece, _)) => return Ok(piece),
                }
            };
            self.land(outcomes)?;
        }
    }

    /// The next piece when all that was taken up is in the log. The key is not forgotten while the
    /// upload is open, however long it is silent.
    async fn quiet_piece(&mut self) -> Result<Option<Bytes>, Problem> {
        while let (Some(name), Some(newest)) = (&self.options.key, self.newest.clone()) {
            if let Ok(piece) = timeout_at(self.renewal, self.incoming.piece()).await {
                return piece;
            }
            let key = self.key(name, newest);
            if let Err(error) = self.stentor.hub().renew_key(key).await {
                tracing::debug!(%error, "the key of an upload is renewed later");
            }
            self.put_off_renewal();
        }
        self.incoming.piece().await
    }

    fn put_off_renewal(&mut self) {
        let window = self.stentor.config().key_window;
        self.renewal = Instant::now() + (window / RENEWALS).max(RENEWAL_MIN);
    }

    /// Holds memory for a piece. If there is none left, what the upload itself has on its way goes
    /// into the log first.
    async fn hold(&mut self, partial: usize, piece: usize) -> Result<(), Problem> {
        let all = partial + piece + self.bytes();
        if self.incoming.hold(all).now_or_never().is_none() {
            self.publish().await?;
            self.incoming.hold(partial).await;
            self.incoming.hold(partial + piece).await;
        }
        Ok(())
    }

    /// Takes up an event or the end, with the key that it brings.
    pub(super) async fn gather(
        &mut self,
        body: RecordBody,
        own_key: Option<String>,
    ) -> Result<(), Problem> {
        let bytes = body.bytes() + own_key.as_ref().map_or(0, String::len);
        let entries = vec![Entry::new(self.options.topic.clone(), body)];
        let key = match (&self.options.key, own_key) {
            (Some(name), _) => {
                let before = self.hash;
                self.hash = chain(before, &entries);
                let part = KeyContent::Part { index: self.index, before, after: self.hash };
                self.newest = Some(part.clone());
                Some(self.key(name, part))
            }
            (None, Some(name)) => Some(self.key(&name, KeyContent::Whole(hash_of(&entries)))),
            (None, None) => None,
        };
        // Nothing is published behind an event that is refused.
        let publish = Publish::new(entries, key).requiring_previous();
        if let Err(error) = publish.validate() {
            return Err(self.fail(error.into()).await);
        }
        self.index += 1;
        self.gathered.publishes.push(publish);
        self.gathered.bytes += bytes;
        if self.is_full() { self.hand_in().await } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        self.gathered.publishes.len() >= GROUP_EVENTS_MAX || self.gathered.bytes >= GROUP_BYTES_MAX
    }

    /// Passes over an event of another server's own.
    pub(super) fn skip(&mut self) {
        self.progress.skipped += 1;
    }

    /// The clean end of the body, and of the topic if that was asked for.
    pub(super) async fn finish(mut self) -> Result<Response<Body>, Problem> {
        if self.index == 0 && self.options.end.is_some() {
            // Nothing came: it is no stream of events, but an end alone.
            return append(self.stentor, self.options, None).await;
        }
        self.publish().await?;
        let events = self.progress;
        if let Some(reason) = self.options.end.clone() {
            self.end(reason).await?;
        }
        Ok(events.answer(self.progress.status(), &self.options.topic))
    }

    /// Ends the topic behind the events. If they were all there before, it may have ended too.
    async fn end(&mut self, reason: String) -> Result<(), Problem> {
        let ended = match self.gather(RecordBody::End { reason }, None).await {
            Ok(()) => self.publish().await,
            refused => refused,
        };
        let is_repeat = self.progress.status() == StatusCode::OK;
        match ended {
            Err(problem) if problem.is_topic_ended() && is_repeat => Ok(()),
            ended => ended,
        }
    }

    /// A fault of the upload itself: what came before it is published first.
    pub(super) async fn fail(&mut self, problem: Problem) -> Problem {
        match self.publish().await {
            Ok(()) => self.progress.tell(problem),
            Err(earlier) => earlier,
        }
    }

    /// Brings all that was taken up into the log.
    async fn publish(&mut self) -> Result<(), Problem> {
        self.hand_in().await?;
        self.landed().await
    }

    /// Hands in what is gathered, when what is in flight has landed.
    async fn hand_in(&mut self) -> Result<(), Problem> {
        self.landed().await?;
        let Group { publishes, bytes } = std::mem::take(&mut self.gathered);
        if publishes.is_empty() {
            return Ok(());
        }
        let mut landing = self.stentor.hub().publish_all(publishes).boxed();
        // To be polled is what hands it in.
        if let Some(outcomes) = (&mut landing).now_or_never() {
            return self.land(outcomes);
        }
        self.flight = Some(Flight { landing, bytes });
        Ok(())
    }

    /// Waits until nothing is in flight.
    async fn landed(&mut self) -> Result<(), Problem> {
        match &mut self.flight {
            Some(flight) => {
                let outcomes = (&mut flight.landing).await;
                self.land(outcomes)
            }
            None => Ok(()),
        }
    }

    /// Notes what became of a group. At the event that was refused the upload fails; the log withheld
    /// what was behind it.
    fn land(&mut self, outcomes: Outcomes) -> Result<(), Problem> {
        self.flight = None;
        self.put_off_renewal();
        let outcomes = outcomes.map_err(|error| self.progress.tell(error.into()))?;
        for outcome in outcomes {
            let published = outcome.map_err(|error| self.progress.tell(error.into()))?;
            self.stentor.metrics().published.inc_by(u64::from(!published.repeat));
            self.progress.note(published);
        }
        Ok(())
    }

    /// What is gathered and in flight.
    fn bytes(&self) -> usize {
        self.gathered.bytes + self.flight.as_ref().map_or(0, |flight| flight.bytes)
    }

    fn key(&self, name: &str, content: KeyContent) -> Key {
        Key {
            scope: Some(self.options.topic.clone()),
            publisher: String::new(),
            name: name.to_owned(),
            window: self.stentor.config().key_window,
            content,
        }
    }
}
