//! Runs all checks of one endpoint concurrently, so that they take about as long as the watch.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use reqwest::{Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::cors::{self, Origin};
use super::endpoint::{Endpoint, NoResponse, Visit};
use super::finding::{Finding, complete};
use super::flow::Delivery;
use super::publishing::Publishing;
use super::report::Report;
use super::watch::Watch;
use super::{end, flow, format, http2, publishing, response, resume, timing};
use crate::commands::connection::without_password;

/// The endpoint, and the options of the checks.
#[derive(Debug)]
pub(super) struct Diagnosis {
    pub(super) endpoint: Endpoint,
    pub(super) publishing: Option<Publishing>,
    pub(super) origin: Origin,
    /// Name of this run, contained in all its events and made-up ids.
    pub(super) run: String,
    /// Time to watch the stream.
    pub(super) length: Duration,
    pub(super) idle_timeout: Duration,
}

impl Diagnosis {
    /// Runs all checks.
    ///
    /// # Errors
    /// The endpoint cannot be reached.
    pub(super) async fn run(mut self) -> Result<Report, NoResponse> {
        let url = without_password(&self.endpoint.url);
        let _progress = progress(self.length);
        let wait = self.length.max(self.endpoint.patience);
        let visit = match self.endpoint.visit(wait).await {
            Ok(visit) => visit,
            Err(NoResponse::Silent(wait)) => {
                let findings = timing::no_head(wait);
                return Ok(Report::new(&url, &findings, "there was no response"));
            }
            Err(error) => return Err(error),
        };
        let mut findings = response::judge(&visit);
        let status = visit.response.status();
        if status != StatusCode::OK || visit.bad_redirect.is_some() {
            return Ok(Report::new(
                &url,
                &findings,
                &format!("the response is {status}, not a stream"),
            ));
        }
        findings.extend(self.stream(visit).await);
        Ok(Report::new(&url, &findings, "the stream cannot be read"))
    }

    async fn stream(&self, visit: Visit) -> Vec<Finding> {
        let endpoint = &self.endpoint;
        let beside = async {
            let (head, cors, http2) = tokio::join!(
                response::head(endpoint),
                cors::judge(endpoint, &self.origin),
                http2::http2(endpoint),
            );
            [head, cors, http2].concat()
        };
        let unknown_id = resume::unknown_id(endpoint, &self.run);
        let coding = flow::coding(visit.response.headers());
        if let Some(coding) = coding {
            let compression = flow::unrequested_compression(&coding);
            let (beside, unknown_id) = tokio::join!(beside, unknown_id);
            return [compression, beside, unknown_id].concat();
        }
        let took = visit.took;
        let (watched, beside, unknown_id) =
            tokio::join!(self.watched(visit.response, took), beside, unknown_id);
        [watched, beside, unknown_id].concat()
    }

    /// Watches the stream, and runs the checks that depend on its content.
    async fn watched(&self, response: Response, took: Duration) -> Vec<Finding> {
        let (endpoint, watch) = (&self.endpoint, &Watch::new());
        // Published events need time to arrive, even if the watch is short.
        let (has_published, published) = oneshot::channel();
        let record = watch.capture(response, async {
            let _ = tokio::join!(sleep(self.length), published);
        });
        let publish = async {
            let published = self.publish(watch).await;
            let _ = has_published.send(());
            let resume = resume::resume(endpoint, watch, &self.run).await;
            (published, resume)
        };
        let ((), ((published, delivery), resume), compression, end) = tokio::join!(
            record,
            publish,
            flow::compression(endpoint, watch),
            end::end(endpoint, watch),
        );
        let mut findings = [published, resume, compression, end].concat();
        watch.look(|capture| {
            findings.extend(timing::first_byte(took, capture, endpoint.patience));
            findings.extend(timing::keep_alive(capture, self.idle_timeout));
            findings.extend(flow::buffering(capture, delivery));
            findings.extend(format::judge(capture, &self.run));
            findings.extend(resume::ids(capture, &self.run));
        });
        findings
    }

    async fn publish(&self, watch: &Watch) -> (Vec<Finding>, Delivery) {
        if let Some(publishing) = &self.publishing {
            return publishing.check(&self.endpoint, watch).await;
        }
        let advice = "give --publish-url to test this";
        (complete(Vec::new(), publishing::CHECKS, advice), Delivery::Unknown)
    }
}

/// Shows the progress of the watch on a terminal, until it is dropped.
fn progress(length: Duration) -> ProgressBar {
    let progress = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        progress.set_style(style);
    }
    progress.set_message(format!("of about {}: watching the stream", timing::seconds(length)));
    progress.enable_steady_tick(Duration::from_millis(100));
    progress
}
