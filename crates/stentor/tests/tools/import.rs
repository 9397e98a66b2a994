//! `stentor log import`.

use serde_json::Value;

use crate::harness::Server;
use crate::harness::stentor;
use crate::{data, done, log, server_with_events};

fn without_ids(text: &str) -> Vec<Value> {
    let line = |line: &str| {
        let mut object: Value = serde_json::from_str(line).unwrap();
        object.as_object_mut().unwrap().remove("id").unwrap();
        object
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn a_log_can_be_moved_by_export_and_import() {
    let server = server_with_events().await;
    let exported = done("export", &data(&server), &[]).await.stdout;
    let new = server.directory().join("new");
    let import = log("import", &new, &[]).stdin(exported.clone()).run().await;
    assert_eq!((import.code, import.stdout.as_str()), (Some(0), ""), "{import:?}");
    assert!(import.stderr.contains("imported 22 events and ends"), "{import:?}");
    done("verify", &new, &[]).await;
    let again = done("export", &new, &[]).await.stdout;
    assert_eq!(without_ids(&again), without_ids(&exported));

    let moved = Server::with(&["serve", "--data", new.to_str().unwrap()]).await;
    let (old, new) = (server.history("/topics/news").await, moved.history("/topics/news").await);
    assert_eq!((&old[0]["time"], &old[0]["data"]), (&new[0]["time"], &new[0]["data"]));
    assert_eq!(moved.page("/topics/job/7").await["ended"]["reason"], "done");
    // A reader that resumes with an id of the old log gets a gap and all events of the new one.
    let mut stream = moved.resume("/topics/news", old[3]["id"].as_str().unwrap()).await;
    assert_eq!(stream.gap().await.1["reason"], "epoch");
}

#[tokio::test]
async fn a_file_is_imported_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.ndjson");
    std::fs::write(&file, "{\"topic\":\"a\",\"data\":\"one\"}\n").unwrap();
    let new = directory.path().join("new");
    done("import", &new, &[file.to_str().unwrap()]).await;
    assert!(done("export", &new, &[]).await.stdout.contains("\"data\":\"one\""));
    let missing = log("import", &directory.path().join("x"), &["/no/such/file"]).run().await;
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("cannot read /no/such/file"), "{missing:?}");
}

#[tokio::test]
async fn an_invalid_line_is_named_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("new");
    let lines = "{\"topic\":\"a\",\"data\":\"one\"}\n{\"topic\":\"a\",\"data\":\n";
    let import = log("import", &new, &["-"]).stdin(lines).run().await;
    assert_eq!((import.code, import.stdout.as_str()), (Some(1), ""));
    assert!(import.stderr.contains("line 2: "), "{import:?}");
    assert!(!new.exists());
}

#[tokio::test]
async fn an_existing_log_is_never_imported_into() {
    let server = server_with_events().await;
    let import =
        log("import", &data(&server), &[]).stdin("{\"topic\":\"a\",\"data\":\"\"}").run().await;
    assert_eq!(import.code, Some(1));
    assert!(
        import.stderr.contains("there is already a log in")
            && import.stderr.contains("new or empty"),
        "{import:?}"
    );
    assert_eq!(server.history("/topics/news").await.len(), 20);
}

#[tokio::test]
async fn a_running_import_keeps_a_server_out() {
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("new");
    let lock = std::fs::create_dir(&new).map(|()| new.join("lock")).unwrap();
    // Stdin stays open, so the import waits for more.
    let (pipe, mut end) = std::io::pipe().unwrap();
    let mut import = tokio::process::Command::new(env!("CARGO_BIN_EXE_stentor"))
        .args(["log", "import", "--data", new.to_str().unwrap()])
        .stdin(pipe)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while !std::fs::read_to_string(&lock).is_ok_and(|id| id.ends_with('\n')) {
        tokio::task::yield_now().await;
    }
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", new.to_str().unwrap()];
    let refused = stentor(&serve).run().await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("in use by process"), "{refused:?}");
    std::io::Write::write_all(&mut end, b"{\"topic\":\"a\",\"data\":\"\"}\n").unwrap();
    drop(end);
    assert!(import.wait().await.unwrap().success());
    done("verify", &new, &[]).await;
}
