//! `--root-certificate` in each client command, against a server behind a proxy that terminates TLS.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::bench::faulty_server::acceptor;
use crate::bench::tls::ROOT;
use crate::harness::{Output, Server, stentor};

/// Starts the proxy. Returns the URL of the server behind it.
async fn https(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = server.url("").replace("http://", "");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                let Ok(mut socket) = acceptor(&["http/1.1"]).accept(socket).await else { return };
                let mut server = TcpStream::connect(target).await.unwrap();
                let _ = copy_bidirectional(&mut socket, &mut server).await;
            });
        }
    });
    format!("https://localhost:{port}")
}

/// Runs a command with the root certificate of the tests.
async fn trusting(args: &[&str]) -> Output {
    stentor(&[args, &["--root-certificate", ROOT]].concat()).run().await
}

#[tokio::test]
async fn each_client_command_trusts_a_given_root_certificate() {
    let server = Server::in_memory().await;
    let url = https(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("recording");
    let recording = recording.to_str().unwrap();
    let stream = format!("{url}/topics/t?from=earliest");
    for (args, stdout) in [
        (["pub", "t", "hello", "--end", "--url", &url].as_slice(), None),
        (&["sub", "t", "--from", "earliest", "--url", &url], Some("hello\n")),
        (&["sub", &stream], Some("hello\n")),
        (&["record", &stream, recording], Some("")),
        (&["replay", recording, "--to", "again", "--speed", "max", "--url", &url], None),
        (&["pub", "copy", "--from", &stream, "--url", &url], None),
        (&["bench", "--url", &url, "-n", "1", "--events", "1", "--warm-up", "0s"], None),
    ] {
        let done = trusting(args).await;
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        if let Some(stdout) = stdout {
            assert_eq!(done.stdout, stdout, "{args:?}");
        }
    }
    for topic in ["again", "copy"] {
        assert_eq!(server.history_data(&format!("/topics/{topic}")).await, ["hello"]);
    }
    let done = trusting(&["check", &format!("{url}/topics/live"), "--for", "1s"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_issuer_is_refused_with_advice() {
    let server = Server::in_memory().await;
    let url = https(&server).await;
    let stream = format!("{url}/topics/t");
    for (args, code) in [
        (["pub", "t", "hello", "--url", &url].as_slice(), 1),
        (&["sub", &stream, "--retry-max", "1"], 3),
        (&["check", &stream, "--for", "1s"], 3),
    ] {
        let done = stentor(args).run().await;
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        for words in ["is not trusted", "--root-certificate FILE"] {
            assert!(done.stderr.contains(words), "{words}: {args:?}: {done:?}");
        }
    }
}

#[tokio::test]
async fn a_file_without_certificates_is_refused_before_anything_else() {
    let no_pem = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for command in [["pub", "t", "x"], ["sub", "t", "--count=1"], ["check", "https://h/", "--json"]]
    {
        for (file, words) in [
            (no_pem, "contains no certificate in PEM format"),
            ("/nowhere", "cannot read /nowhere"),
            ("/", "it is a directory; name a file"),
        ] {
            let done = stentor(&[&command[..], &["--root-certificate", file]].concat()).run().await;
            assert_eq!(done.code, Some(2), "{command:?}: {done:?}");
            assert!(done.stderr.contains(words), "{words}: {done:?}");
        }
    }
}
