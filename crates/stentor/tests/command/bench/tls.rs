//! `stentor bench` and https. The certificates are of a test root that nobody else trusts.

use super::little::{Fault, little_over_tls};
use super::{bench, counts, json};
use crate::harness::{Output, Server};

const ROOT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../stentor-client/tests/support/tls/root.pem");

/// Publishes to a little server of localhost, and listens to it.
async fn load(fault: Fault, args: &[&str]) -> Output {
    let address = little_over_tls("127.0.0.1:0", fault).await;
    let url = address.replace("127.0.0.1", "https://localhost");
    let publish = format!("{url}/pub");
    let args = [&["--publish", &publish, "--warm-up", "0s", "--json"], args].concat();
    bench(&format!("{url}/sub"), &args).await
}

/// What it says on its one line when nothing can be measured.
async fn refusal(url: &str, args: &[&str]) -> String {
    let done = bench(url, &[&["-n", "7"], args].concat()).await;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
    done.stderr
}

#[tokio::test]
async fn every_event_reaches_every_reader_over_tls() {
    // An event fills several records of TLS.
    let args = ["-n", "5", "--events", "50", "--window", "4", "--size", "40000"];
    let done = load(Fault::None, &[&args[..], &["--root-certificate", ROOT]].concat()).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let report = json(&done);
    assert_eq!(counts(&report), [250, 250, 0, 0, 0]);
    assert_eq!(report["publish"]["acknowledged"], 50);
    assert_eq!(report["problems"], serde_json::json!([]));
}

#[tokio::test]
async fn the_end_of_an_encrypted_stream_is_told_from_a_cut() {
    for (fault, words) in [
        (Fault::Ends, "the server ended the stream"),
        (Fault::Cuts, "the connection was cut: TLS was not ended (close_notify)"),
    ] {
        let args = ["-n", "2", "--events", "10", "--rate", "500", "--publishers", "1"];
        let rest = ["--patience", "500ms", "--root-certificate", ROOT];
        let done = load(fault, &[&args[..], &rest].concat()).await;
        let expected = serde_json::json!([{ "what": words, "count": 2 }]);
        assert_eq!(json(&done)["problems"], expected, "{done:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told_in_words() {
    let address = little_over_tls("127.0.0.1:0", Fault::None).await;
    let told = refusal(&format!("https://{address}/sub"), &[]).await;
    for words in ["7 × the server's certificate is not trusted", "--root-certificate"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told_in_words() {
    let address = little_over_tls("127.0.0.2:0", Fault::None).await;
    let told = refusal(&format!("https://{address}/sub"), &["--root-certificate", ROOT]).await;
    for words in ["the server's certificate is for another name", "127.0.0.2", "localhost"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_in_words() {
    let server = Server::in_memory().await;
    let url = server.url("/topics/t").replace("http:", "https:");
    let told = refusal(&url, &["--root-certificate", ROOT]).await;
    assert!(told.contains("7 × the server speaks no TLS here; try http://"), "{told}");
}

#[tokio::test]
async fn root_certificates_that_are_of_no_use_are_told_in_words() {
    let https = "https://127.0.0.1:1/";
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (url, file, words) in [
        (https, "/nowhere", "/nowhere cannot be read"),
        (https, here, "holds no certificate in PEM"),
        ("http://127.0.0.1:1/", ROOT, "is for https://"),
    ] {
        let told = refusal(url, &["--root-certificate", file]).await;
        assert!(told.contains(words), "{words}: {told}");
    }
}
