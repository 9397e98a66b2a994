//! Refusals as `curl` sees them.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::{assert_none_fails, pause, tries};
use crate::harness::{Server, TIMEOUT};

/// A call of `curl`: its arguments, with a body of this many bytes on stdin, and the expected status.
type Call = (&'static [&'static str], usize, &'static str);

const CALLS: [Call; 9] = [
    (&["--data-binary", "@-", "/nowhere"], 5, "404"),
    (&["--data-binary", "@-", "/nowhere"], 100_000, "404"),
    (&["--data-binary", "@-", "--header", "Expect: 100-continue", "/nowhere"], 100_000, "404"),
    (&["--data-binary", "@-", "--header", "Host: evil.example", "/topics/t"], 100_000, "403"),
    (&["--data-binary", "@-", "--header", "Origin: http://evil.example", "/topics/t"], 5, "403"),
    // A live upload, as in the README.
    (&["--upload-file", "-", "--header", "Host: evil.example", "/topics/t"], 100_000, "403"),
    (&["--upload-file", "-", "--request", "PATCH", "/topics/t"], 100_000, "405"),
    (&["--http2-prior-knowledge", "--data-binary", "@-", "/nowhere"], 100_000, "404"),
    (
        &[
            "--http2-prior-knowledge",
            "--upload-file",
            "-",
            "--header",
            "Host: evil.example",
            "/topics/t",
        ],
        100_000,
        "403",
    ),
];

#[tokio::test]
async fn curl_shows_the_refusal_of_a_body_that_comes_late() {
    let server = Server::in_memory().await;
    assert_none_fails(&CALLS, tries(10), async |call| {
        let (arguments, bytes, status) = call;
        let (path, options) = arguments.split_last().unwrap();
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"])
            .args(["--output", "-", "--write-out", "%{http_code}"])
            .args(options)
            .arg(format!("http://{}{path}", server.address))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = curl.stdin.take().unwrap();
        let body = vec![b'x'; bytes];
        let writing = async move {
            sleep(pause()).await;
            let half = body.len() / 2;
            // curl closes its input when it has the response.
            let _ = stdin.write_all(&body[..half]).await;
            sleep(pause()).await;
            let _ = stdin.write_all(&body[half..]).await;
        };
        let (output, ()) = tokio::join!(timeout(TIMEOUT, curl.wait_with_output()), writing);
        let output = output.expect("curl ends in time").unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        let has_problem = text.contains(r#""code":"#) && text.ends_with(status);
        if has_problem { Ok(()) } else { Err(format!("{text:?}, {error}")) }
    })
    .await;
}
