//! `serve` passes a request to a service once the service is ready.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue panics")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use http::{Request, Response};
use reqwest::Client;
use stentor_hub::Hub;
use stentor_server::{Body, HttpService, InboundBody, Stentor, bind, serve};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::load_shed::LoadShed;
use tower_service::Service;

/// Maximum time a test waits. Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts the requests that it handles at the same time. Each waits for a permit.
#[derive(Clone)]
struct Counting {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

impl Counting {
    fn new(permits: usize) -> Counting {
        let permits = Arc::new(Semaphore::new(permits));
        Counting { now: Arc::default(), most: Arc::default(), permits }
    }

    async fn until_handling(&self, count: usize) {
        let reached = async {
            while self.now.load(Ordering::SeqCst) != count {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap();
    }
}

impl Service<Request<InboundBody>> for Counting {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<InboundBody>) -> Self::Future {
        let counting = self.clone();
        async move {
            let now = counting.now.fetch_add(1, Ordering::SeqCst) + 1;
            counting.most.fetch_max(now, Ordering::SeqCst);
            counting.permits.acquire().await.unwrap().forget();
            counting.now.fetch_sub(1, Ordering::SeqCst);
            Ok(Response::new(Body::full("handled")))
        }
        .boxed()
    }
}

/// A service that never becomes ready: it fails.
#[derive(Clone)]
struct Failing;

impl Service<Request<InboundBody>> for Failing {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Err(std::io::Error::other("the secret of the pool")))
    }

    fn call(&mut self, _: Request<InboundBody>) -> Self::Future {
        unreachable!("the service is not ready")
    }
}

/// Starts a server and returns its URL.
fn start(service: impl HttpService) -> String {
    let stentor = Stentor::new(Hub::memory());
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, service, stentor));
    url
}

/// A client of HTTP/1.1, and one of HTTP/2.
fn clients() -> [Client; 2] {
    let client = || Client::builder().no_proxy().timeout(PATIENCE);
    [client().http1_only(), client().http2_prior_knowledge()].map(|client| client.build().unwrap())
}

async fn get(client: &Client, url: &str) -> (u16, String) {
    let response = client.get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_concurrency_limit_bounds_the_requests_that_are_handled_at_once() {
    const LIMIT: usize = 3;
    for client in clients() {
        let counting = Counting::new(0);
        let url = start(ConcurrencyLimit::new(counting.clone(), LIMIT));
        let requests = join_all((0..10).map(|_| get(&client, &url)));
        let releasing = async {
            counting.until_handling(LIMIT).await;
            counting.permits.add_permits(10);
        };
        let (responses, ()) = tokio::join!(requests, releasing);
        assert!(responses.iter().all(|response| *response == (200, "handled".to_owned())));
        assert_eq!(counting.most.load(Ordering::SeqCst), LIMIT);
    }
}

#[tokio::test]
async fn a_request_that_load_shedding_refuses_gets_503() {
    for client in clients() {
        let counting = Counting::new(0);
        let url = start(LoadShed::new(ConcurrencyLimit::new(counting.clone(), 1)));
        let refused = async {
            counting.until_handling(1).await;
            let refused = client.get(&url).send().await.unwrap();
            assert_eq!(refused.status(), 503);
            assert_eq!(refused.headers()["retry-after"], "2");
            let problem = refused.text().await.unwrap();
            assert!(problem.contains(r#""code":"service""#), "{problem}");
            counting.permits.add_permits(2);
        };
        let (first, ()) = tokio::join!(get(&client, &url), refused);
        assert_eq!(first.0, 200);
        assert_eq!(get(&client, &url).await.0, 200, "there is room again");
    }
}

#[tokio::test]
async fn a_buffer_passes_requests_on_one_after_the_other() {
    for client in clients() {
        let counting = Counting::new(20);
        let service = ConcurrencyLimit::new(counting.clone(), 1);
        let url = start(Buffer::new(service, 2));
        let responses = join_all((0..20).map(|_| get(&client, &url))).await;
        assert!(responses.iter().all(|response| response.0 == 200), "{responses:?}");
        assert_eq!(counting.most.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_service_that_fails_to_become_ready_gives_503_without_its_reason() {
    for client in clients() {
        let url = start(Failing);
        for _ in 0..3 {
            let (status, problem) = get(&client, &url).await;
            assert_eq!(status, 503);
            assert!(!problem.contains("secret"), "{problem}");
        }
    }
}
