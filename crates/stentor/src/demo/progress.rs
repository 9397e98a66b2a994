//! The progress of a job: ten steps and an end. A reload resumes, two tabs show the same job, and the end
//! stops the browser from reconnecting.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use futures_util::FutureExt;
use http::{HeaderMap, Response, Uri, Version};
use serde_json::json;
use stentor_hub::{
    Cursor, Filters, HistoryRequest, Hub, Publish, PublishError, Start, TopicFilter, TopicName,
    TopicsQuery,
};
use stentor_server::{Body, Problem, Stentor, StreamOptions, cursor_of};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::sleep;

use super::support::{Demo, page};

/// Prefix of the topics. Each job has its own topic.
const PREFIX: &str = "progress/";
const STEPS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);
/// Maximum number of jobs that are kept.
const JOBS_MAX: usize = 20;

#[derive(Clone)]
struct App {
    stentor: Stentor,
    /// The newest job.
    newest: Arc<Mutex<Option<TopicName>>>,
    /// Set once the unfinished jobs of an earlier run have been ended. No new job starts before that.
    interrupted_ended: Arc<OnceCell<()>>,
}

pub(crate) fn demo(stentor: &Stentor) -> Demo {
    let app =
        App { stentor: stentor.clone(), newest: Arc::default(), interrupted_ended: Arc::default() };
    let background = end_interrupted(app.clone()).map(drop).boxed();
    let router = Router::new()
        .route("/", get(|| page("progress.html")))
        .route("/sse", get(stream))
        .with_state(app);
    Demo { router, background }
}

async fn stream(
    State(app): State<App>,
    version: Version,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let cursor = cursor_of(&headers, &uri);
    let known = match &cursor {
        Some(cursor) => job_of(app.stentor.hub(), cursor).await?,
        None => None,
    };
    let (job, start) = if let (Some(job), Some(cursor)) = (known, cursor) {
        (job, Start::Cursor(cursor))
    } else {
        let (job, before) = running_or_new(&app).await?;
        (job, Start::Cursor(before.to_string()))
    };
    app.stentor.stream(Filters::topic(job), start, StreamOptions::new(version)).await
}

/// Returns the job of the record at the cursor. If that record is missing, returns the job of the next one.
async fn job_of(hub: &Hub, cursor: &str) -> Result<Option<TopicName>, Problem> {
    let Ok(cursor) = cursor.parse::<Cursor>() else { return Ok(None) };
    if cursor.epoch != hub.epoch() {
        return Ok(None);
    }
    if cursor.is_event_id()
        && let Some(record) = hub.record(cursor.offset).await?
    {
        return Ok(Some(record.topic().clone()));
    }
    let start = Start::Cursor(cursor.to_string());
    let request = HistoryRequest { filters: all_jobs()?, start, before: None, limit: 1 };
    let page = hub.history(request).await?;
    Ok(page.events.first().map(|record| record.topic().clone()))
}

/// Returns the running job, or starts one, with the position before its first step.
async fn running_or_new(app: &App) -> Result<(TopicName, Cursor), Problem> {
    let hub = app.stentor.hub();
    end_interrupted(app.clone()).await?;
    let mut newest = app.newest.lock().await;
    if let Some(job) = &*newest {
        let filters = Filters::topic(job.clone());
        let request = HistoryRequest { filters, start: Start::Earliest, before: None, limit: 1 };
        let page = hub.history(request).await?;
        if let (Some(first), None) = (page.earliest, page.ended) {
            return Ok((job.clone(), before(first)));
        }
    }
    let job = next_name(hub).await?;
    let first = hub.send(&job, step(1)).await?.first;
    tokio::spawn(work_or_end(hub.clone(), job.clone()));
    *newest = Some(job.clone());
    Ok((job, before(first)))
}

/// Runs a job. If the log refuses a step, ends the job, so that no subscriber waits for it.
async fn work_or_end(hub: Hub, job: TopicName) {
    if let Err(error) = work(hub.clone(), job.clone()).await {
        tracing::warn!(%job, %error, "a job stopped before its end");
        if let Err(error) = hub.publish(Publish::end(job, "failed")).await {
            tracing::warn!(%error, "cannot end the job; the next start of the server ends it");
        }
    }
}

/// Publishes the steps of a job. It runs to its end with or without subscribers.
async fn work(hub: Hub, job: TopicName) -> Result<(), PublishError> {
    for number in 2..=STEPS {
        sleep(PAUSE).await;
        hub.send(&job, step(number)).await?;
    }
    hub.publish(Publish::end(job, "done")).await.map(drop)
}

fn step(number: u32) -> String {
    json!({ "resMsg": format!("server sent event message: {number}"), "status": 200 }).to_string()
}

fn before(first: Cursor) -> Cursor {
    Cursor::position(first.epoch, first.offset.previous())
}

fn all_jobs() -> Result<Filters, Problem> {
    let filter: TopicFilter = format!("{PREFIX}**").parse()?;
    Ok(Filters::new([filter])?)
}

/// Ends the jobs that the last stop of the server interrupted, so that no subscriber waits for them.
async fn end_interrupted(app: App) -> Result<(), Problem> {
    let hub = app.stentor.hub();
    let end_all = async || {
        for job in hub.topics(jobs()).await? {
            if !job.ended {
                hub.publish(Publish::end(job.topic, "interrupted")).await?;
            }
        }
        Ok(())
    };
    app.interrupted_ended.get_or_try_init(end_all).await.map(drop)
}

/// Returns the name of the next job, and deletes the oldest jobs beyond [`JOBS_MAX`].
async fn next_name(hub: &Hub) -> Result<TopicName, Problem> {
    let known = hub.topics(jobs()).await?;
    let number = |name: &TopicName| name.as_str().strip_prefix(PREFIX)?.parse::<u64>().ok();
    let mut numbers: Vec<u64> = known.iter().filter_map(|job| number(&job.topic)).collect();
    numbers.sort_unstable();
    for old in numbers.iter().take(numbers.len().saturating_sub(JOBS_MAX)) {
        hub.delete(&TopicName::new(format!("{PREFIX}{old}"))?).await?;
    }
    let next = numbers.last().map_or(1, |newest| newest + 1);
    Ok(TopicName::new(format!("{PREFIX}{next}"))?)
}

fn jobs() -> TopicsQuery {
    TopicsQuery { prefix: PREFIX.to_owned(), after: None, limit: 1_000 }
}
