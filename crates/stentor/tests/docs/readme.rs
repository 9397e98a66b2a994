//! README.md, walked line by line as a newcomer would: on a terminal, in order, against one server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::Server;
use crate::page::blocks;
use crate::session::{Session, is_match};

/// Starts the server. The test starts the binary that Cargo would run.
const START: &str = "cargo run --release";
/// Puts `stentor` on the path. The test has the built binary on its path.
const INSTALL: &str = "cargo install --path crates/stentor";

#[test]
fn the_readme_opens_with_the_two_setup_commands() {
    let first = blocks("README.md", "sh").remove(0);
    let commands: Vec<&str> =
        first.code.lines().filter_map(|line| line.split(" #").next()).map(str::trim).collect();
    assert_eq!(commands, [START, "./test"]);
}

#[test]
fn the_start_prints_what_the_readme_shows_and_then_nothing_more() {
    let block = blocks("README.md", "console").remove(0);
    let (command, banner) = block.code.split_once('\n').expect("output after the command");
    assert_eq!(command, format!("$ {START}"));
    let banner: Vec<&str> = banner.lines().collect();

    let directory = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_stentor"))
        .args(["--listen", "127.0.0.1:0"])
        .current_dir(&directory)
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = Vec::new();
    for line in BufReader::new(server.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("listening on") {
            stop(&server);
        }
        printed.push(line);
    }
    server.wait().unwrap();

    let address = printed.iter().find_map(|line| line.strip_prefix("listening on http://"));
    let address = address.and_then(|rest| rest.split(' ').next()).expect("an address").to_owned();
    let printed: Vec<String> =
        printed.iter().map(|line| line.replace(&address, "127.0.0.1:8080")).collect();
    let printed: Vec<&str> = printed.iter().map(String::as_str).collect();
    assert!(is_match(&banner, &printed), "README.md shows {banner:#?}, printed is {printed:#?}");
}

/// Sends SIGTERM to the server.
fn stop(server: &Child) {
    let status = Command::new("kill").arg(server.id().to_string()).status().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn every_line_of_the_readme_runs_in_order_and_prints_what_it_shows() {
    let server = Server::with(&[]).await;
    let mut session = Session::on_terminal();
    // The README is read in a clone of the repository.
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::create_dir(session.directory().join("docs")).unwrap();
    fs::copy(docs.join("picture.svg"), session.directory().join("docs/picture.svg")).unwrap();
    session.run("README.md", &server, &[START, INSTALL]).await;
}
