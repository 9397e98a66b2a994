//! `stentor bench`.

mod little;
mod tls;

use serde_json::Value;

use self::little::{Fault, little};
use crate::harness::{Output, Server, stentor};

const QUICK: [&str; 6] = ["--events", "200", "--window", "4", "--warm-up", "0s"];

async fn bench(url: &str, args: &[&str]) -> Output {
    stentor(&[&["bench", "--url", url], args].concat()).run().await
}

fn json(done: &Output) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

/// Faults and what was received.
fn counts(report: &Value) -> [u64; 5] {
    ["received", "expected", "lost", "duplicated", "out_of_order"]
        .map(|name| report["delivery"][name].as_u64().unwrap())
}

#[tokio::test]
async fn every_event_reaches_every_reader_of_our_server() {
    let server = Server::in_memory().await;
    let pid = server.pid().to_string();
    let args = [&QUICK[..], &["-n", "20", "--json", "--pid", &pid]].concat();
    let done = bench(&server.url(""), &args).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let report = json(&done);
    assert_eq!(counts(&report), [4000, 4000, 0, 0, 0]);
    let numbers = |path: &str| report.pointer(path).and_then(Value::as_f64);
    for (path, expected) in [
        ("/setting/subscribers", 20.0),
        ("/setting/window", 4.0),
        ("/connect/connected", 20.0),
        ("/connect/head/count", 20.0),
        ("/publish/events", 200.0),
        ("/publish/acknowledged", 200.0),
        ("/publish/refused", 0.0),
        ("/delivery/foreign", 0.0),
        ("/delivery/latency/count", 4000.0),
        ("/delivery/latency_to_last/count", 200.0),
    ] {
        assert_eq!(numbers(path), Some(expected), "{path}: {report:#}");
    }
    for path in [
        "/delivery/per_second",
        "/delivery/latency/p50",
        "/delivery/latency/p999",
        "/publish/acknowledgement/max",
        "/server/memory_end_bytes",
        "/samples/0/at",
    ] {
        assert!(numbers(path) > Some(0.0), "{path}: {report:#}");
    }
    assert_eq!(report["problems"], serde_json::json!([]));
}

#[tokio::test]
async fn events_and_readers_are_spread_over_topics() {
    let server = Server::in_memory().await;
    let args = [&QUICK[..], &["-n", "20", "--topics", "4", "--json"]].concat();
    let report = json(&bench(&server.url(""), &args).await);
    // Of 200 events each topic has 50, and five readers.
    assert_eq!(counts(&report), [1000, 1000, 0, 0, 0]);
}

#[tokio::test]
async fn a_rate_is_kept_for_a_time() {
    let server = Server::in_memory().await;
    let args = ["-n", "3", "--rate", "100", "--for", "500ms", "--warm-up", "100ms"];
    let done = bench(&server.url(""), &args).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    for line in
        ["connected        3 of 3 readers", "0 lost, 0 doubled, 0 out of order", "sent late by"]
    {
        assert!(done.stdout.contains(line), "{line}: {done:?}");
    }
}

#[tokio::test]
async fn readers_that_drop_and_come_back_lose_nothing() {
    let server = Server::in_memory().await;
    let args = [
        "-n",
        "20",
        "--rate",
        "400",
        "--events",
        "400",
        "--warm-up",
        "0s",
        "--storm",
        "50%",
        "--storm-every",
        "100ms",
        "--json",
    ];
    let done = bench(&server.url(""), &args).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let report = json(&done);
    assert_eq!(counts(&report), [8000, 8000, 0, 0, 0]);
    let storms = &report["storms"];
    assert!(storms["count"].as_u64() > Some(0), "{storms}");
    assert_eq!(storms["dropped"].as_u64(), storms["count"].as_u64().map(|count| count * 10));
    assert_eq!(storms["dropped"], storms["returned"]);
}

#[tokio::test]
async fn slow_readers_hold_nobody_up_and_are_not_judged() {
    let server = Server::in_memory().await;
    let args = [&QUICK[..], &["-n", "20", "--slow", "5", "--size", "8192", "--json"]].concat();
    let done = bench(&server.url(""), &args).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let report = json(&done);
    assert_eq!(counts(&report), [3000, 3000, 0, 0, 0]);
    assert_eq!(report["slow"]["readers"], 5);
}

#[tokio::test]
async fn without_readers_it_only_publishes() {
    let server = Server::in_memory().await;
    let pid = server.pid().to_string();
    let args = [&QUICK[..], &["-n", "0", "--json", "--pid", &pid]].concat();
    let done = bench(&server.url(""), &args).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let report = json(&done);
    assert_eq!((&report["publish"]["acknowledged"], counts(&report)), (&200.into(), [0; 5]));
    assert_eq!(report["unit"], "publish");
    assert!(report["publish"]["acknowledgement"]["p50"].as_f64() > Some(0.0), "{report:#}");
}

#[tokio::test]
async fn connections_come_and_go_beside_the_readers() {
    let server = Server::in_memory().await;
    let args = ["-n", "5", "--churn", "300", "--connecting", "8"];
    let report = json(&bench(&server.url(""), &[&args[..], &["--json"]].concat()).await);
    let churn = &report["churn"];
    assert_eq!((&churn["connections"], &churn["failed"]), (&300.into(), &0.into()), "{report:#}");
    assert_eq!(
        (&churn["head"]["count"], &report["connect"]["connected"]),
        (&300.into(), &5.into())
    );
    assert_eq!(report["unit"], "connect");
    assert_eq!((&report["publish"], &report["delivery"], &report["arrivals"]), {
        const NONE: Value = Value::Null;
        (&NONE, &NONE, &NONE)
    });
    let done = bench(&server.url(""), &args).await;
    assert!(done.stdout.contains("came and went    300 connections in"), "{done:?}");
    assert_eq!(done.code, Some(0));
}

#[tokio::test]
async fn with_no_events_only_connects_and_memory_are_measured() {
    let server = Server::in_memory().await;
    let pid = server.pid().to_string();
    let args = ["-n", "50", "--events", "0", "--settle", "50ms", "--json", "--pid", &pid];
    let done = bench(&server.url(""), &args).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let report = json(&done);
    assert_eq!((&report["connect"]["connected"], &report["unit"]), (&50.into(), &"connect".into()));
    assert!(report["server"]["memory_per_reader_bytes"].is_number(), "{report:#}");
    assert_eq!((&report["publish"], &report["arrivals"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_load_that_never_sleeps_does_not_take_itself_for_busy() {
    let server = Server::in_memory().await;
    let args = ["-n", "1", "--rate", "20", "--for", "1s", "--warm-up", "0s", "--spin", "--json"];
    let done = bench(&server.url(""), &args).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let report = json(&done);
    assert_eq!(counts(&report), [20, 20, 0, 0, 0]);
    assert!(report["load"]["cores"].as_f64() < Some(0.5), "{report:#}");
}

#[tokio::test]
async fn without_publishing_it_tells_what_arrives() {
    let address = little(Fault::Ticks).await;
    let done =
        bench(&format!("http://{address}/sub"), &["-n", "5", "--for", "300ms", "--json"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let report = json(&done);
    assert!(report["arrivals"]["events"].as_u64() > Some(5), "{report:#}");
    assert_eq!(report["arrivals"]["mean_bytes"], 5.0);
    assert!(report["arrivals"]["gap"]["p50"].is_number(), "{report:#}");
    assert_eq!((&report["publish"], &report["delivery"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn asked_to_stop_it_tells_what_was_measured_until_then() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let args = ["bench", "--url", &url, "-n", "2", "--warm-up", "0s", "--for", "10m", "--json"];
    let load = stentor(&args).start().await;
    server.subscribe("/topics/bench/0").await.next().await.expect("an event");
    load.signal("TERM").await;
    let done = load.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let report = json(&done);
    assert_eq!(report["was_interrupted"], true);
    let [received, expected, ..] = counts(&report);
    assert_eq!(received, expected);
}

#[tokio::test]
async fn faults_of_a_server_are_found() {
    for (fault, expected) in [
        (Fault::Loses, [38, 40, 2, 0, 0]),
        (Fault::Doubles, [40, 40, 0, 2, 0]),
        (Fault::Swaps, [40, 40, 0, 0, 2]),
    ] {
        let address = little(fault).await;
        let url = format!("http://{address}/sub");
        let publish = format!("http://{address}/pub");
        let args = [
            "--publish",
            &publish,
            "-n",
            "2",
            "--events",
            "20",
            "--rate",
            "500",
            "--publishers",
            "1",
            "--warm-up",
            "0s",
            "--patience",
            "500ms",
            "--json",
        ];
        let done = bench(&url, &args).await;
        assert_eq!((done.code, counts(&json(&done))), (Some(3), expected), "{fault:?}: {done:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_measured_is_told_in_words() {
    let server = Server::in_memory().await;
    let html = server.url("/health/live");
    let missing = server.url("/nowhere");
    for (url, args, words) in [
        ("http://127.0.0.1:1", &[][..], "nobody listens at http://127.0.0.1:1"),
        (&missing, &["-n", "7"], "no reader could connect: 7 × 404 Not Found"),
        (&html, &["-n", "7"], "instead of text/event-stream"),
        (&server.url("/topics/t"), &["--for", "100ms"], "no event came"),
        (&server.url(""), &["--body", "x"], "the body has no {mark}"),
        (&server.url("/topics/t"), &["--topics", "2"], "{topic} must stand"),
        (&server.url(""), &["--pid", "4294967295"], "there is no process"),
        (&server.url(""), &["-n", "100000000"], "open files are needed"),
        (&server.url(""), &["-n", "2", "--slow", "2"], "somebody must listen"),
        (&server.url("/topics/t"), &["-n", "0"], "without readers nothing can be heard"),
        (&missing, &["-n", "0", "--churn", "3"], "no connection got its answer"),
    ] {
        let done = bench(url, args).await;
        assert_eq!(done.code, Some(1), "{url} {args:?}: {done:?}");
        assert!(done.stderr.contains(words), "{words}: {done:?}");
        assert!(!done.stderr.contains("panicked"), "{done:?}");
    }
}

#[tokio::test]
async fn refused_events_are_counted_with_the_reason() {
    let server = Server::in_memory().await;
    let publish = server.url("/topics/bench/*");
    let url = server.url("/topics/bench/0");
    let args = [&QUICK[..], &["--publish", &publish, "-n", "2", "--json"]].concat();
    let done = bench(&url, &args).await;
    assert_eq!(done.code, Some(1), "{done:?}");
    let report = json(&done);
    assert_eq!((&report["publish"]["refused"], counts(&report)), (&200.into(), [0; 5]));
    let problem = &report["problems"][0];
    assert_eq!(problem["count"], 200);
    assert!(problem["what"].as_str().unwrap().starts_with("publishing: 400"), "{problem}");
}

#[tokio::test]
async fn the_page_is_well_formed_and_has_its_plots() {
    let server = Server::in_memory().await;
    let path = server.directory().join("report.html");
    let pid = server.pid().to_string();
    let html = path.to_str().unwrap();
    let done =
        bench(&server.url(""), &[&QUICK[..], &["--html", html, "--pid", &pid]].concat()).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let page = std::fs::read_to_string(&path).unwrap();
    assert_well_formed(&page);
    for title in ["Latency", "Latency over time", "Deliveries a second", "Processor time", "Memory"]
    {
        assert!(page.contains(&format!("<figcaption>{title}")), "{title}");
    }
    let lines = page.matches("<path class=\"line").count();
    assert!(lines >= 8 && page.matches("<svg").count() == 6, "{lines} lines");
    assert!(page.contains("prefers-color-scheme: dark") && !page.contains("<script"));
    assert!(!page.contains("http://www") && !page.contains("NaN") && !page.contains("inf "));
}

/// Every element is closed in its order, and every attribute has its quotes.
fn assert_well_formed(page: &str) {
    let mut open = Vec::new();
    let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    for part in body.split('<').skip(1) {
        let tag = part.split_once('>').unwrap_or_else(|| panic!("an open tag: {part}")).0;
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
