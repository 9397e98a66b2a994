//! Images: saved to files, or summarized on a terminal.

use std::path::Path;

use serde_json::Value;

use super::{sub, sub_foreign};
use crate::harness::Server;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const PNG_URL: &str = "data:image/png;base64,iVBORw0KGgo=";

/// Returns the names of the files in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn images_become_files_and_their_paths_are_printed() {
    let server = Server::in_memory().await;
    let post = server.post("/topics/pictures", PNG).header("Content-Type", "image/png");
    assert_eq!(post.send().await.status, 201);
    server.publish("/topics/pictures?end", "that is all").await;
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("new/folder");
    let args = ["pictures", "--from", "earliest", "--save-images", folder.to_str().unwrap()];
    for _ in 0..2 {
        let done = sub(&server, &args).run().await;
        let (path, rest) = done.stdout.split_once('\n').unwrap();
        assert_eq!((done.code, rest), (Some(0), "that is all\n"), "{done:?}");
        assert_eq!(std::fs::read(path).unwrap(), PNG);
        // A repeated event gets the same file, and no temporary file remains.
        assert_eq!(names(&folder), [Path::new(path).file_name().unwrap().to_str().unwrap()]);
    }
    let args = [&args[..], &["--format", "json"]].concat();
    let done = sub(&server, &args).run().await;
    let object: Value = serde_json::from_str(done.stdout.lines().next().unwrap()).unwrap();
    let name = Path::new(object["data"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with(&format!("-{}.png", object["id"].as_str().unwrap())), "{name}");
}

#[tokio::test]
async fn an_id_cannot_point_outside_the_directory() {
    let stream = format!(
        "id: ../../../out\ndata: {PNG_URL}\n\ndata: {PNG_URL}\n\nid: /tmp/out\ndata: \
         data:image/../../../out;base64,iVBORw0KGgo=\n\n"
    );
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("a/b/c");
    let done = sub_foreign(&stream, &["--save-images", folder.to_str().unwrap()]).await;
    assert_eq!((done.code, done.stdout.lines().count()), (Some(0), 3), "{done:?}");
    assert_eq!(names(&folder).len(), 3, "each event has a separate file");
    for line in done.stdout.lines() {
        assert_eq!(Path::new(line).parent(), Some(folder.as_path()), "{done:?}");
        assert_eq!(std::fs::read(line).unwrap(), PNG);
    }
    assert_eq!(names(directory.path()), ["a"]);
}

#[tokio::test]
async fn other_data_stays_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let stream = "data: hello\n\ndata: data:image/png;base64,****\n\n";
    let args = ["--save-images", directory.path().to_str().unwrap()];
    let done = sub_foreign(stream, &args).await;
    let lines = "hello\ndata:image/png;base64,****\n";
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), lines), "{done:?}");
    assert!(done.stderr.contains("an image cannot be decoded"), "{done:?}");
    assert!(names(directory.path()).is_empty());
}

#[tokio::test]
async fn a_command_gets_the_path_of_the_image() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let args = ["--save-images", path, "--exec", "cat \"$(cat)\""];
    let stream = "data: data:image/gif;base64,aGk=\n\n";
    let done = sub_foreign(stream, &args).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "hi"), "{done:?}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_created_is_named() {
    let args = ["t", "--save-images", "/dev/null/x"];
    let server = Server::in_memory().await;
    let done = sub(&server, &args).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.stderr.contains("/dev/null/x"), "{done:?}");
}

#[tokio::test]
async fn a_terminal_shows_the_type_and_size_of_an_image() {
    let server = Server::in_memory().await;
    let image = [PNG, &vec![0; 103 << 10]].concat();
    let post = server.post("/topics/camera", image).header("Content-Type", "image/png");
    assert_eq!(post.send().await.status, 201);
    let stentor = env!("CARGO_BIN_EXE_stentor");
    let command =
        format!("{stentor} sub camera --from earliest --count 1 --url {}", server.url(""));
    // `script` runs the command with a terminal as its stdout, and copies what it prints.
    let on_terminal = tokio::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    let shown = String::from_utf8_lossy(&on_terminal.stdout);
    assert!(shown.contains("image/png, 103 KiB") && !shown.contains("base64"), "{shown}");
    let piped = sub(&server, &["camera", "--from", "earliest", "--count", "1"]).run().await;
    assert!(piped.stdout.starts_with(PNG_URL.trim_end_matches("o=")), "a pipe gets the data");
}
