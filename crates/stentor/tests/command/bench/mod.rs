//! `stentor bench`.

pub mod faulty_server;
mod http2;
mod lost_server;
pub mod tls;

use serde_json::Value;

use self::faulty_server::{Fault, faulty_server};
use crate::harness::{Output, Server, stentor};

const QUICK: [&str; 6] = ["--events", "200", "--window", "4", "--warm-up", "0s"];
/// Message on stderr after a run with one topic.
const DELETED_ONE: &str =
    "stentor: deleted 1 topic below bench/ that this run created; --keep keeps them\n";

async fn bench(url: &str, args: &[&str]) -> Output {
    stentor(&[&["bench", "--url", url], args].concat()).run().await
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Received, expected, lost, duplicated and disordered deliveries.
fn counts(report: &Value) -> [u64; 5] {
    ["received", "expected", "lost", "duplicated", "out_of_order"]
        .map(|name| report["delivery"][name].as_u64().unwrap())
}

#[tokio::test]
async fn every_event_reaches_every_subscriber_of_stentor() {
    let server = Server::in_memory().await;
    let pid = server.pid().to_string();
    let args = [&QUICK[..], &["-n", "20", "--json", "--pid", &pid]].concat();
    let output = bench(&server.url(""), &args).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), DELETED_ONE), "{output:?}");
    let report = json(&output);
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
async fn events_and_subscribers_are_spread_over_topics() {
    let server = Server::in_memory().await;
    let args = [&QUICK[..], &["-n", "20", "--topics", "4", "--json"]].concat();
    let report = json(&bench(&server.url(""), &args).await);
    // Each of the 4 topics has 50 of the 200 events, and five subscribers.
    assert_eq!(counts(&report), [1000, 1000, 0, 0, 0]);
}

#[tokio::test]
async fn a_rate_is_kept_for_a_time() {
    let server = Server::in_memory().await;
    let args = ["-n", "3", "--rate", "100", "--for", "500ms", "--warm-up", "100ms"];
    let output = bench(&server.url(""), &args).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for line in [
        "connected        3 of 3 subscribers",
        "0 lost, 0 duplicated, 0 out of order",
        "send delay",
    ] {
        assert!(output.stdout.contains(line), "{line}: {output:?}");
    }
}

#[tokio::test]
async fn subscribers_that_drop_and_reconnect_lose_nothing() {
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
    let output = bench(&server.url(""), &args).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let report = json(&output);
    assert_eq!(counts(&report), [8000, 8000, 0, 0, 0]);
    let storms = &report["storms"];
    assert!(storms["count"].as_u64() > Some(0), "{storms}");
    assert_eq!(storms["dropped"].as_u64(), storms["count"].as_u64().map(|count| count * 10));
    assert_eq!(storms["dropped"], storms["returned"]);
}

#[tokio::test]
async fn slow_subscribers_delay_no_others_and_are_not_part_of_the_result() {
    let server = Server::in_memory().await;
    let args = [&QUICK[..], &["-n", "20", "--slow", "5", "--size", "8192", "--json"]].concat();
    let output = bench(&server.url(""), &args).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let report = json(&output);
    assert_eq!(counts(&report), [3000, 3000, 0, 0, 0]);
    assert_eq!(report["slow"]["readers"], 5);
}

#[tokio::test]
async fn without_subscribers_it_only_publishes() {
    let server = Server::in_memory().await;
    let pid = server.pid().to_string();
    let args = [&QUICK[..], &["-n", "0", "--json", "--pid", &pid]].concat();
    let output = bench(&server.url(""), &args).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), DELETED_ONE), "{output:?}");
    let report = json(&output);
    assert_eq!((&report["publish"]["acknowledged"], counts(&report)), (&200.into(), [0; 5]));
    assert_eq!(report["unit"], "publish");
    assert!(report["publish"]["acknowledgement"]["p50"].as_f64() > Some(0.0), "{report:#}");
}

#[tokio::test]
async fn connections_are_opened_and_closed_beside_the_subscribers() {
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
    let output = bench(&server.url(""), &args).await;
    assert!(output.stdout.contains("churn            300 connections in"), "{output:?}");
    assert_eq!(output.code, Some(0));
}

#[tokio::test]
async fn with_no_events_only_connects_and_memory_are_measured() {
    let server = Server::in_memory().await;
    let pid = server.pid().to_string();
    let args = ["-n", "50", "--events", "0", "--settle", "50ms", "--json", "--pid", &pid];
    let output = bench(&server.url(""), &args).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    let report = json(&output);
    assert_eq!((&report["connect"]["connected"], &report["unit"]), (&50.into(), &"connect".into()));
    assert!(report["server"]["memory_per_reader_bytes"].is_number(), "{report:#}");
    assert_eq!((&report["publish"], &report["arrivals"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn polling_without_a_result_does_not_count_as_busy() {
    let server = Server::in_memory().await;
    let args = ["-n", "1", "--rate", "20", "--for", "1s", "--warm-up", "0s", "--spin", "--json"];
    let output = bench(&server.url(""), &args).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let report = json(&output);
    assert_eq!(counts(&report), [20, 20, 0, 0, 0]);
    assert!(report["load"]["cores"].as_f64() < Some(0.5), "{report:#}");
}

#[tokio::test]
async fn without_publishing_it_measures_the_events_that_arrive() {
    let address = faulty_server(Fault::Ticks).await;
    let output =
        bench(&format!("http://{address}/sub"), &["-n", "5", "--for", "300ms", "--json"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let report = json(&output);
    assert!(report["arrivals"]["events"].as_u64() > Some(5), "{report:#}");
    assert_eq!(report["arrivals"]["mean_bytes"], 5.0);
    assert!(report["arrivals"]["gap"]["p50"].is_number(), "{report:#}");
    assert_eq!((&report["publish"], &report["delivery"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_signal_ends_the_run_with_the_results_so_far() {
    let server = Server::in_memory().await;
    let url = server.url("");
    let args = ["bench", "--url", &url, "-n", "2", "--warm-up", "0s", "--for", "10m", "--json"];
    let load = stentor(&args).start().await;
    server.subscribe("/topics/bench/0").await.next().await.expect("an event");
    load.signal("TERM").await;
    let output = load.end().await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let report = json(&output);
    assert_eq!(report["was_interrupted"], true);
    let [received, expected, ..] = counts(&report);
    assert_eq!(received, expected);
    assert_eq!(output.stderr, DELETED_ONE);
    assert_eq!(topics(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn topics_of_the_run_are_deleted_and_others_are_kept() {
    let server = Server::in_memory().await;
    server.publish("/topics/bench/1", "existed before").await;
    let args = [&QUICK[..], &["-n", "3", "--topics", "3"]].concat();
    let output = bench(&server.url(""), &args).await;
    let deleted =
        "stentor: deleted 2 topics below bench/ that this run created; --keep keeps them\n";
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), deleted), "{output:?}");
    assert_eq!(topics(&server).await, ["bench/1"]);
    let output = bench(&server.url(""), &[&args[..], &["--keep"]].concat()).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    assert_eq!(topics(&server).await, ["bench/0", "bench/1", "bench/2"]);
}

#[tokio::test]
async fn a_topic_named_in_the_url_is_kept() {
    let server = Server::in_memory().await;
    let url = server.url("/topics/t");
    let args = [&QUICK[..], &["--publish", &url, "-n", "2"]].concat();
    let output = bench(&url, &args).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    assert_eq!(topics(&server).await, ["t"]);
}

#[tokio::test]
async fn topics_are_deleted_when_the_run_fails() {
    let server = Server::in_memory().await;
    let args = [&QUICK[..], &["-n", "2", "--html", "/nowhere/report.html"]].concat();
    let output = bench(&server.url(""), &args).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(topics(&server).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_cannot_delete_topics_is_no_error() {
    let address = faulty_server(Fault::None).await;
    let args = [&QUICK[..], &["-n", "2"]].concat();
    let output = bench(&format!("http://{address}"), &args).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
}

/// Names of the topics of a server.
async fn topics(server: &Server) -> Vec<String> {
    let list = server.page("/topics").await;
    let topics = list["topics"].as_array().unwrap().iter();
    topics.map(|topic| topic["topic"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn faults_of_a_server_are_detected() {
    for (fault, expected) in [
        (Fault::Loses, [38, 40, 2, 0, 0]),
        (Fault::Duplicates, [40, 40, 0, 2, 0]),
        (Fault::Swaps, [40, 40, 0, 0, 2]),
    ] {
        let address = faulty_server(fault).await;
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
        let output = bench(&url, &args).await;
        assert_eq!(
            (output.code, counts(&json(&output))),
            (Some(3), expected),
            "{fault:?}: {output:?}"
        );
    }
}

#[tokio::test]
async fn a_run_that_cannot_measure_says_why() {
    let server = Server::in_memory().await;
    let html = server.url("/health/live");
    let missing = server.url("/nowhere");
    for (url, args, words) in [
        ("http://127.0.0.1:1", &[][..], "cannot connect to http://127.0.0.1:1"),
        (&missing, &["-n", "7"], "no subscriber could connect: 7 × 404 Not Found"),
        (&html, &["-n", "7"], "instead of text/event-stream"),
        (&server.url("/topics/t"), &["--for", "100ms"], "no event arrived"),
        (&server.url(""), &["--pid", "4294967295"], "there is no process"),
        (&server.url(""), &["-n", "100000000"], "open files, and the limit is"),
        (&missing, &["-n", "0", "--churn", "3"], "no connection got a response"),
    ] {
        let output = bench(url, args).await;
        assert_eq!(output.code, Some(1), "{url} {args:?}: {output:?}");
        assert!(output.stderr.contains(words), "{words}: {output:?}");
        assert!(!output.stderr.contains("panicked"), "{output:?}");
    }
}

#[tokio::test]
async fn refused_events_are_counted_with_the_reason() {
    let server = Server::in_memory().await;
    let publish = server.url("/topics/bench/*");
    let url = server.url("/topics/bench/0");
    let args = [&QUICK[..], &["--publish", &publish, "-n", "2", "--json"]].concat();
    let output = bench(&url, &args).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    let report = json(&output);
    assert_eq!((&report["publish"]["refused"], counts(&report)), (&200.into(), [0; 5]));
    let problem = &report["problems"][0];
    assert_eq!(problem["count"], 200);
    assert!(problem["what"].as_str().unwrap().starts_with("publishing: 400"), "{problem}");
}

#[tokio::test]
async fn the_page_is_well_formed_and_has_its_charts() {
    let server = Server::in_memory().await;
    let path = server.directory().join("report.html");
    let pid = server.pid().to_string();
    let html = path.to_str().unwrap();
    let output =
        bench(&server.url(""), &[&QUICK[..], &["--html", html, "--pid", &pid]].concat()).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let page = std::fs::read_to_string(&path).unwrap();
    assert_well_formed(&page);
    for title in ["Latency", "Latency over time", "Deliveries per second", "CPU", "Server memory"] {
        assert!(page.contains(&format!("<figcaption>{title}")), "{title}");
    }
    let lines = page.matches("<path class=\"line").count();
    assert!(lines >= 8 && page.matches("<svg").count() == 6, "{lines} lines");
    assert!(page.contains("prefers-color-scheme: dark") && !page.contains("<script"));
    assert!(!page.contains("http://www") && !page.contains("NaN") && !page.contains("inf "));
}

/// Fails unless all elements are closed in order and all attribute values are quoted.
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
