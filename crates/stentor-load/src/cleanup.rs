//! Deletes the topics that a run has created on a Stentor server.
//!
//! Lists the topics below `bench/` before the run, and deletes those that are new after it. A server that does not
//! list topics is not Stentor, and nothing is deleted.

use std::collections::HashSet;
use std::fmt::Write;
use std::io::{self, ErrorKind, Read};
use std::thread;
use std::time::Duration;

use mio::{Events, Poll, Token};
use tokio::time::Instant;

use crate::http::endpoint::{BareTarget, Endpoint};
use crate::http::response::{Part, Response};
use crate::http::socket::{Socket, Target, is_not_ready};
use crate::plan::Plan;

/// Prefix of the topics.
const PREFIX: &str = "bench/";
/// Number of topics on a page of the list: the maximum that the server allows.
const PAGE: usize = 1000;
/// Number of connections that delete topics. The server writes concurrent deletions to disk together.
const CONNECTIONS: usize = 16;
/// Maximum time to list all topics.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time to delete all topics.
const DELETE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of bytes of a response body that are kept.
const BODY_BYTES_MAX: usize = 1 << 20;
const BUFFER_BYTES: usize = 16 << 10;
const TOKEN: Token = Token(0);

/// Result of deleting the topics of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleanup {
    /// Number of topics that were deleted.
    pub deleted: usize,
    /// Number of topics that could not be deleted.
    pub failed: usize,
    /// Text of the first error.
    pub error: Option<String>,
}

/// Returns the numbers of the topics of the plan that do not exist. Empty if the server does not list its topics.
pub(crate) fn missing_topics(plan: &Plan) -> Vec<usize> {
    let Some(endpoint) = &plan.publish else { return Vec::new() };
    let existing = existing_topics(endpoint, &plan.publish_at).unwrap_or_default();
    let Some(existing) = existing else { return Vec::new() };
    let is_missing = |topic: &usize| !existing.contains(&format!("{PREFIX}{topic}"));
    (0..plan.topics).filter(is_missing).collect()
}

/// Deletes topics of the plan.
pub(crate) fn delete(plan: &Plan, topics: &[usize]) -> Cleanup {
    let Some(endpoint) = &plan.publish else { return Cleanup::default() };
    let deadline = Instant::now() + DELETE_TIMEOUT;
    let share = topics.len().div_ceil(CONNECTIONS).max(1);
    thread::scope(|scope| {
        let threads: Vec<_> = topics
            .chunks(share)
            .map(|topics| scope.spawn(|| delete_some(endpoint, &plan.publish_at, topics, deadline)))
            .collect();
        let results = threads.into_iter().filter_map(|thread| thread.join().ok());
        results.fold(Cleanup::default(), |sum, one| Cleanup {
            deleted: sum.deleted + one.deleted,
            failed: sum.failed + one.failed,
            error: sum.error.or(one.error),
        })
    })
}

fn delete_some(
    endpoint: &Endpoint,
    target: &Target,
    topics: &[usize],
    deadline: Instant,
) -> Cleanup {
    let mut cleanup = Cleanup::default();
    let mut client = Client::new(target, deadline);
    for &topic in topics {
        let mut request = Vec::new();
        endpoint.bare("DELETE", BareTarget::Topic(topic), &mut request);
        let error = match client.request(&request) {
            Ok(Reply { status: 200..300, .. }) => {
                cleanup.deleted += 1;
                continue;
            }
            // No event of this topic was published.
            Ok(Reply { status: 404, .. }) => continue,
            Ok(reply) => reply.line,
            Err(error) => error.to_string(),
        };
        cleanup.failed += 1;
        cleanup.error.get_or_insert(error);
    }
    cleanup
}

/// Lists the names of the topics below [`PREFIX`]. Returns `None` if the response is not such a list.
fn existing_topics(endpoint: &Endpoint, target: &Target) -> io::Result<Option<HashSet<String>>> {
    let mut client = Client::new(target, Instant::now() + LIST_TIMEOUT);
    let (mut names, mut after) = (HashSet::new(), String::new());
    loop {
        let mut request = Vec::new();
        let path = format!("/topics?prefix={PREFIX}&limit={PAGE}{after}");
        endpoint.bare("GET", BareTarget::Path(&path), &mut request);
        let reply = client.request(&request)?;
        let page = serde_json::from_slice::<Page>(&reply.body).ok();
        let Some(page) = page.filter(|_| reply.status == 200) else { return Ok(None) };
        names.extend(page.topics.into_iter().map(|topic| topic.topic));
        let Some(next) = page.next else { return Ok(Some(names)) };
        after = format!("&after={}", percent_encoded(&next));
    }
}

/// A page of `GET /topics`.
#[derive(serde::Deserialize)]
struct Page {
    topics: Vec<Topic>,
    next: Option<String>,
}

#[derive(serde::Deserialize)]
struct Topic {
    topic: String,
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(byte.into());
        } else {
            // Writing to memory cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A blocking client that sends one request after the other on one connection.
struct Client<'a> {
    target: &'a Target,
    deadline: Instant,
    connection: Option<(Poll, Socket)>,
}

struct Reply {
    status: u16,
    /// Status and reason.
    line: String,
    body: Vec<u8>,
}

impl<'a> Client<'a> {
    fn new(target: &'a Target, deadline: Instant) -> Client<'a> {
        Client { target, deadline, connection: None }
    }

    fn request(&mut self, request: &[u8]) -> io::Result<Reply> {
        let (mut poll, mut socket) = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let (reply, closes) = self.exchange(&mut poll, &mut socket, request)?;
        if !closes {
            self.connection = Some((poll, socket));
        }
        Ok(reply)
    }

    fn connect(&self) -> io::Result<(Poll, Socket)> {
        let poll = Poll::new()?;
        let mut socket = Socket::connect(self.target, 0, false)?;
        socket.register(poll.registry(), TOKEN)?;
        Ok((poll, socket))
    }

    /// Sends a request and reads its response. The second value is `true` if the server closes the connection.
    fn exchange(
        &self,
        poll: &mut Poll,
        socket: &mut Socket,
        request: &[u8],
    ) -> io::Result<(Reply, bool)> {
        let mut reply = Reply { status: 0, line: String::new(), body: Vec::new() };
        let (mut response, mut written, mut closes) = (Response::default(), 0, false);
        let (mut events, mut buffer) = (Events::with_capacity(8), vec![0; BUFFER_BYTES]);
        loop {
            socket.write_rest(request, &mut written)?;
            while !response.is_done() {
                let bytes = match socket.read(&mut buffer) {
                    Ok(0) if response.may_end() => return Ok((reply, true)),
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(count) => buffer.get(..count).unwrap_or_default(),
                    Err(error) if is_not_ready(&error) => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                closes |= reply.take(&mut response, bytes)?;
            }
            if response.is_done() {
                return Ok((reply, closes));
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "no response in time"));
            }
            match poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => result?,
            }
        }
    }
}

impl Reply {
    /// Adds bytes of the response. Returns `true` if its head says that the server closes the connection.
    fn take(&mut self, response: &mut Response, mut bytes: &[u8]) -> io::Result<bool> {
        let mut closes = false;
        while let Some(part) =
            response.next(&mut bytes).map_err(|broken| io::Error::other(broken.0))?
        {
            match part {
                Part::Head(head) if head.content_type.starts_with("text/event-stream") => {
                    return Err(io::Error::other("the response is an event stream"));
                }
                Part::Head(head) => {
                    (self.status, closes) = (head.status, head.closes);
                    self.line = format!("{} {}", head.status, head.reason);
                }
                Part::Body(body) if self.body.len() + body.len() <= BODY_BYTES_MAX => {
                    self.body.extend_from_slice(body);
                }
                Part::Body(_) => return Err(io::Error::other("the response is too long")),
            }
        }
        Ok(closes)
    }
}
