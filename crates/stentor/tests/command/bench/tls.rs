//! `stentor bench` with https. The certificates are issued by a root of the tests, which no system trusts.

use super::faulty_server::{Fault, faulty_server_with_tls};
use super::{bench, counts, json};
use crate::harness::{Output, Server};

pub const ROOT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../stentor-client/tests/support/tls/root.pem");

/// Runs `stentor bench` against a faulty server on localhost.
async fn load(fault: Fault, args: &[&str]) -> Output {
    let address = faulty_server_with_tls("127.0.0.1:0", fault).await;
    let url = address.replace("127.0.0.1", "https://localhost");
    let publish = format!("{url}/pub");
    let args = [&["--publish", &publish, "--warm-up", "0s", "--json"], args].concat();
    bench(&format!("{url}/sub"), &args).await
}

/// Runs `stentor bench` where nothing can be measured. Returns its one line on stderr.
async fn refusal(url: &str, args: &[&str]) -> String {
    let output = bench(url, &[&["-n", "7"], args].concat()).await;
    let code = if url.starts_with("http://") { 2 } else { 1 };
    assert_eq!(output.code, Some(code), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    output.stderr
}

#[tokio::test]
async fn every_event_reaches_every_subscriber_over_tls() {
    // An event needs several TLS records.
    let args = ["-n", "5", "--events", "50", "--window", "4", "--size", "40000"];
    let output = load(Fault::None, &[&args[..], &["--root-certificate", ROOT]].concat()).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output:?}");
    let report = json(&output);
    assert_eq!(counts(&report), [250, 250, 0, 0, 0]);
    assert_eq!(report["publish"]["acknowledged"], 50);
    assert_eq!(report["problems"], serde_json::json!([]));
}

#[tokio::test]
async fn the_end_of_an_encrypted_stream_is_distinguished_from_a_cut() {
    for (fault, words) in [
        (Fault::Ends, "the server ended the stream"),
        (Fault::Cuts, "the connection was cut: the server sent no TLS close_notify"),
    ] {
        let args = ["-n", "2", "--events", "10", "--rate", "500", "--publishers", "1"];
        let rest = ["--patience", "500ms", "--root-certificate", ROOT];
        let output = load(fault, &[&args[..], &rest].concat()).await;
        let expected = serde_json::json!([{ "what": words, "count": 2 }]);
        assert_eq!(json(&output)["problems"], expected, "{output:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_issuer_is_explained() {
    let address = faulty_server_with_tls("127.0.0.1:0", Fault::None).await;
    let text = refusal(&format!("https://{address}/sub"), &[]).await;
    for words in ["7 × the server's certificate is not trusted", "--root-certificate"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_explained() {
    let address = faulty_server_with_tls("127.0.0.2:0", Fault::None).await;
    let text = refusal(&format!("https://{address}/sub"), &["--root-certificate", ROOT]).await;
    for words in ["the server's certificate is for another name", "127.0.0.2", "localhost"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_explained() {
    let server = Server::in_memory().await;
    let url = server.url("/topics/t").replace("http:", "https:");
    let text = refusal(&url, &["--root-certificate", ROOT]).await;
    assert!(text.contains("7 × the server does not use TLS on this port; try http://"), "{text}");
}

#[tokio::test]
async fn an_unusable_file_of_root_certificates_is_explained() {
    let https = "https://127.0.0.1:1/";
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (url, file, words) in [
        (https, "/nowhere", "cannot read /nowhere"),
        (https, here, "contains no certificate in PEM format"),
        ("http://127.0.0.1:1/", ROOT, "needs an https:// URL"),
    ] {
        let text = refusal(url, &["--root-certificate", file]).await;
        assert!(text.contains(words), "{words}: {text}");
    }
}
