//! `stentor bench` when the server is killed during the run.

use crate::harness::{Server, stentor};

/// Kills the server after it has delivered some events. Returns the exit code and stderr of the run.
async fn run_and_kill(args: &[&str]) -> (Option<i32>, String) {
    let server = Server::in_memory().await;
    let url = server.url("");
    let load = ["bench", "--url", &url, "--warm-up", "0s", "--rate", "100", "--for", "2s"];
    let load = stentor(&[&load[..], args].concat()).start().await;
    let mut reader = server.subscribe("/topics/bench/0").await;
    // More events than publishers: by then each publisher has read a response.
    for _ in 0..20 {
        reader.next().await.expect("an event");
    }
    server.signal("KILL").await;
    let output = load.end().await;
    (output.code, output.stderr)
}

#[tokio::test]
async fn a_run_that_lost_the_server_fails() {
    let lost = "the server was lost during the run: 10 of 10 subscribers could not reconnect";
    for (args, words) in [
        (&["-n", "10"][..], lost),
        (&["-n", "10", "--http2", "--streams-per-connection", "4"], lost),
        (&["-n", "0"], "the server could not be reached at the end of the run: publishing: "),
    ] {
        let (code, stderr) = run_and_kill(args).await;
        assert!(matches!(code, Some(1 | 3)), "{args:?}: {code:?} {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
    }
}
