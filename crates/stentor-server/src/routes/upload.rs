//! Streamed uploads: events that are published as they arrive.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use stentor_hub::storage::KeyHash;
use stentor_hub::{
    Body as RecordBody, Cursor, EVENT_BYTES_MAX, Entry, Event, Key, KeyContent, Publish,
};
use stentor_sse::{Decoder, Item};

use crate::body::Body;
use crate::content::not_utf8;
use crate::idempotency::{chain, checked, hash_of};
use crate::incoming::Incoming;
use crate::json::answer;
use crate::lines::Lines;
use crate::problem::Problem;
use crate::routes::publish::{self, Options};
use crate::service::Stentor;

/// Events handed to the log at once, so that a large piece of many small events does not wait for
/// the disk once for each, nor hold more than it must.
const GROUP_MAX: usize = 1_000;

/// An upload of NDJSON: each line is the data of an event. Lines are not parsed as JSON.
pub(crate) async fn lines(
    stentor: &Stentor,
    options: &Options,
    mut incoming: Incoming,
) -> Result<Response<Body>, Problem> {
    let mut upload = Upload::begin(stentor, options);
    let mut lines = Lines::default();
    let mut number = 0_u64;
    loop {
        let piece = match incoming.piece().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(problem) => return Err(upload.fail(problem).await),
        };
        incoming.hold(lines.partial_bytes() + piece.len()).await;
        let mut input = piece.as_ref();
        while let Some(line) = lines.next(&mut input) {
            number += 1;
            upload.line(line, number).await?;
        }
        if lines.partial_bytes() > EVENT_BYTES_MAX {
            return Err(upload.fail(Problem::too_large("a line", EVENT_BYTES_MAX)).await);
        }
        upload.publish().await?;
        incoming.hold(lines.partial_bytes()).await;
    }
    if let Some(line) = lines.last() {
        upload.line(line, number + 1).await?;
    }
    upload.finish().await
}

/// An upload of another server's stream. Its ids are never ours.
pub(crate) async fn events(
    stentor: &Stentor,
    options: &Options,
    mut incoming: Incoming,
) -> Result<Response<Body>, Problem> {
    let mut upload = Upload::begin(stentor, options);
    let mut decoder = Decoder::with_event_bytes_max(EVENT_BYTES_MAX);
    loop {
        let piece = match incoming.piece().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(problem) => return Err(upload.fail(problem).await),
        };
        incoming.hold(decoder.buffered_bytes() + piece.len()).await;
        let mut input = piece.as_ref();
        while let Some(item) = decoder.decode(&mut input) {
            match item {
                Ok(Item::Event(event)) => upload.event(event).await?,
                Ok(Item::Comment(_) | Item::Retry(_) | Item::Id(_)) => {}
                Err(_) => {
                    return Err(upload.fail(Problem::too_large("an event", EVENT_BYTES_MAX)).await);
                }
            }
        }
        upload.publish().await?;
        incoming.hold(decoder.buffered_bytes()).await;
    }
    upload.finish().await
}

/// An upload under way: what is gathered, and what is in the log already.
struct Upload<'a> {
    stentor: &'a Stentor,
    options: &'a Options,
    gathered: Vec<Publish>,
    /// Events of this request that are in the log, repeats included.
    count: u64,
    /// Of these, the ones that were not there before.
    new: u64,
    /// Events of the server's own in an uploaded stream of another Stentor.
    skipped: u64,
    first: Option<Cursor>,
    last: Option<Cursor>,
    /// How many events were taken up and their running hash, for an idempotency key.
    index: u64,
    hash: KeyHash,
}

impl<'a> Upload<'a> {
    fn begin(stentor: &'a Stentor, options: &'a Options) -> Upload<'a> {
        Upload {
            stentor,
            options,
            gathered: Vec::new(),
            count: 0,
            new: 0,
            skipped: 0,
            first: None,
            last: None,
            index: 0,
            hash: KeyHash::default(),
        }
    }

    async fn line(&mut self, line: Vec<u8>, number: u64) -> Result<(), Problem> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let data = match String::from_utf8(line) {
            Ok(data) => data,
            Err(error) => {
                let problem = not_utf8(error.utf8_error().valid_up_to()).with("line", number);
                return Err(self.fail(problem).await);
            }
        };
        let event = publish::event(data, self.options.event_type.clone(), self.options.retry);
        self.gather(RecordBody::Event(event), None).await
    }

    async fn event(&mut self, event: Event) -> Result<(), Problem> {
        let own_type = event.event_type().map(|name| name.as_str().to_owned());
        if own_type.as_ref().is_some_and(|name| name.starts_with("stentor.")) {
            self.skipped += 1;
            return Ok(());
        }
        let event_type = match own_type.map(|name| publish::event_type(&name)).transpose() {
            Ok(own_type) => own_type.or_else(|| self.options.event_type.clone()),
            Err(problem) => return Err(self.fail(problem).await),
        };
        let millis =
            event.retry().map(|retry| usize::try_from(retry.as_millis()).unwrap_or(usize::MAX));
        let retry = match millis.map(publish::retry).transpose() {
            Ok(retry) => retry.or(self.options.retry),
            Err(problem) => return Err(self.fail(problem).await),
        };
        let id = event.id().filter(|id| self.options.dedupe && !id.as_str().is_empty()).cloned();
        let key = match id.map(|id| checked(id.as_str().as_bytes()).ok_or(id)) {
            None => None,
            Some(Ok(key)) => Some(key),
            Some(Err(id)) => {
                let detail = format!(
                    "the id {:?} is no key: 1 to 256 visible ASCII characters",
                    id.as_str()
                );
                return Err(self.fail(Problem::bad_request("key", detail)).await);
            }
        };
        let event = publish::event(event.into_data(), event_type, retry);
        self.gather(RecordBody::Event(event), key).await
    }

    async fn gather(&mut self, body: RecordBody, own_key: Option<String>) -> Result<(), Problem> {
        let entries = vec![Entry::new(self.options.topic.clone(), body)];
        let key = match (&self.options.key, own_key) {
            (Some(name), _) => {
                let before = self.hash;
                self.hash = chain(before, &entries);
                let part = KeyContent::Part { index: self.index, before, after: self.hash };
                Some(self.key(name, part))
            }
            (None, Some(name)) => Some(self.key(&name, KeyContent::Whole(hash_of(&entries)))),
            (None, None) => None,
        };
        let publish = Publish { entries, key };
        if let Err(error) = publish.validate() {
            return Err(self.fail(error.into()).await);
        }
        self.index += 1;
        self.gathered.push(publish);
        // A key of its own may be refused for one event and not for the next, which must not be
        // published before the upload has failed.
        let group = if self.options.dedupe { 1 } else { GROUP_MAX };
        if self.gathered.len() >= group { self.publish().await } else { Ok(()) }
    }

    /// Brings what is gathered into the log. At the first event that is refused the upload fails;
    /// what would be behind it is refused for the same reason.
    async fn publish(&mut self) -> Result<(), Problem> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        let outcomes = match self.stentor.hub().publish_all(gathered).await {
            Ok(outcomes) => outcomes,
            Err(error) => return Err(self.with_progress(error.into())),
        };
        for outcome in outcomes {
            let published = match outcome {
                Ok(published) => published,
                Err(error) => return Err(self.with_progress(error.into())),
            };
            self.count += 1;
            self.new += u64::from(!published.repeat);
            self.first.get_or_insert(published.first);
            self.last = Some(published.last);
            self.stentor.metrics().published.inc_by(u64::from(!published.repeat));
        }
        Ok(())
    }

    /// The clean end of the body, and of the topic if that was asked for.
    async fn finish(mut self) -> Result<Response<Body>, Problem> {
        if self.index == 0 && self.options.end.is_some() {
            // Nothing came: it is no stream of events, but an end alone.
            return publish::append(self.stentor, self.options, None).await;
        }
        self.publish().await?;
        let (count, first, last) = (self.count, self.first, self.last);
        if let Some(reason) = self.options.end.clone() {
            self.gather(RecordBody::End { reason }, None).await?;
            self.publish().await?;
        }
        let status = if self.new > 0 { StatusCode::CREATED } else { StatusCode::OK };
        let mut object = json!({
            "topic": self.options.topic.as_str(),
            "count": count,
            "first_id": first.map(|id| id.to_string()),
            "last_id": last.map(|id| id.to_string()),
        });
        if let Some(object) = object.as_object_mut().filter(|_| self.skipped > 0) {
            object.insert("skipped".to_owned(), self.skipped.into());
        }
        Ok(answer(status, &object))
    }

    /// A fault of the upload itself: what came before it is published first.
    async fn fail(&mut self, problem: Problem) -> Problem {
        match self.publish().await {
            Ok(()) => self.with_progress(problem),
            Err(earlier) => earlier,
        }
    }

    /// An error says how far the upload came.
    fn with_progress(&self, problem: Problem) -> Problem {
        let mut members = Map::new();
        members.insert("published".to_owned(), self.count.into());
        members.insert(
            "last_id".to_owned(),
            self.last.map_or(Value::Null, |id| id.to_string().into()),
        );
        members.into_iter().fold(problem, |problem, (name, value)| problem.with(&name, value))
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
