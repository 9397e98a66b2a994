//! `stentor check`.

mod faults;
mod our_server;
mod secrets;
mod test_server;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use self::test_server::{Fault, TestServer};
use crate::harness::{Output, stentor};

/// The report of a check.
#[derive(Debug)]
struct Checked {
    code: Option<i32>,
    object: Value,
}

/// Runs `check --json` with these arguments and a generous `--patience`.
async fn check(args: &[&str]) -> Checked {
    check_within("30s", args).await
}

/// Runs `check --json` with this `--patience`, for tests in which something never arrives.
async fn check_within(patience: &str, args: &[&str]) -> Checked {
    let all = ["check", "--json", "--patience", patience];
    let done = stentor(&[&all, args].concat()).run().await;
    let object = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    Checked { code: done.code, object }
}

impl Checked {
    /// Returns the names of the checks with this outcome.
    fn with(&self, outcome: &str) -> Vec<&str> {
        let checks = self.object["checks"].as_array().unwrap().iter();
        let checks = checks.filter(|check| check["outcome"] == outcome);
        checks.map(|check| check["name"].as_str().unwrap()).collect()
    }

    /// Asserts that exactly these checks failed or warned.
    fn must_blame(&self, names: &[&str]) {
        let blamed = [self.with("fail"), self.with("warning")].concat();
        assert_eq!(blamed, names, "{:#}", self.object);
        assert_eq!(self.code, Some(i32::from(!names.is_empty())), "{:#}", self.object);
    }
}

/// Runs `check` against a test server, with text output.
async fn read(server: &TestServer, args: &[&str]) -> Output {
    let url = server.url();
    let all: Vec<&str> = ["check", &url, "--for", "1s"].iter().chain(args).copied().collect();
    stentor(&all).run().await
}

#[tokio::test]
async fn a_report_says_why_a_fault_matters_and_how_to_fix_it() {
    let server = TestServer::start(Fault::Retry0).await;
    let report = read(&server, &[]).await;
    assert_eq!(report.code, Some(1), "{report:?}");
    let at = report.stdout.find("\n  FAIL  retry ").unwrap_or_else(|| panic!("{}", report.stdout));
    let fault = &report.stdout[at..];
    assert!(fault.contains("\n        why   ") && fault.contains("\n        fix   "), "{fault}");
    assert!(!report.stdout.contains('\x1b'), "colour is for terminals: {}", report.stdout);
    assert!(report.stdout.ends_with(" not observable\n"), "{}", report.stdout);
}

#[tokio::test]
async fn passed_checks_are_explained_on_request() {
    let server = TestServer::start(Fault::None).await;
    let short = read(&server, &[]).await;
    assert!(!short.stdout.contains("  why  "), "{}", short.stdout);
    let long = read(&server, &["--explain"]).await;
    let (checks, whys) =
        (long.stdout.matches("\n  pass").count(), long.stdout.matches("  why  ").count());
    assert!(checks > 10 && whys > checks, "{}", long.stdout);
}

#[tokio::test]
async fn a_server_cannot_control_the_terminal() {
    let server = TestServer::start(Fault::Escapes).await;
    let report = read(&server, &[]).await;
    assert!(
        report.stdout.contains("\\u{1b}[2J") && !report.stdout.contains('\x1b'),
        "{}",
        report.stdout
    );
}

#[tokio::test]
async fn an_unreachable_endpoint_has_its_own_exit_code() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let done = stentor(&["check", &url]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(3), ""), "{done:?}");
    assert!(done.stderr.contains("cannot reach "), "{done:?}");
}

#[tokio::test]
async fn a_server_behind_a_unix_socket_is_reached() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let answer = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.read_buf(&mut Vec::new()).await.unwrap();
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    };
    let args = ["http://nowhere.example/", "--unix-socket", path.to_str().unwrap()];
    let (checked, ()) = tokio::join!(check(&args), answer);
    assert_eq!((checked.with("warning"), checked.code), (vec!["status"], Some(0)));
}

#[tokio::test]
async fn a_wrong_command_line_is_refused() {
    for args in [
        &["check"][..],
        &["check", "topic"],
        &["check", "ftp://x/"],
        &["check", "http://x/", "--for", "soon"],
        &["check", "http://x/", "--header", "no colon"],
        &["check", "http://x/", "--publish-header", "a: b"],
    ] {
        let done = stentor(args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{done:?}");
    }
}
