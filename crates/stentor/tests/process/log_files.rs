//! The files of a log that a server uses: deleted, locked, and without a free file descriptor.

use std::fs;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::descriptors::limit_files;
use crate::harness::{Server, TIMEOUT, read_response, stentor};

#[tokio::test]
async fn a_second_server_is_refused_although_the_lock_file_was_deleted() {
    let server = Server::start().await;
    server.publish("/topics/t", "before").await;
    let data = server.directory().join("stentor-data");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    fs::remove_file(data.join("lock")).unwrap();
    for _ in 0..2 {
        let second = stentor(&serve).run().await;
        assert_eq!(second.code, Some(1), "{second:?}");
        assert!(second.stderr.contains("is in use"), "{second:?}");
    }
    let info = stentor(&["log", "info", "--data", data.to_str().unwrap()]).run().await;
    assert!(info.stdout.contains("in use"), "{info:?}");
    server.publish("/topics/t", "after").await;
    assert_eq!(server.history_data("/topics/t").await, ["before", "after"]);
}

#[tokio::test]
async fn a_server_whose_data_directory_is_deleted_refuses_events_and_stops() {
    let mut server = Server::start().await;
    server.publish("/topics/t", "before").await;
    fs::remove_dir_all(server.directory().join("stentor-data")).unwrap();
    assert_eq!(server.exit_code().await, Some(1));
}

/// The lowest number of a file descriptor that a process has free.
fn first_free_descriptor(pid: u32) -> usize {
    let is_free =
        |number: &usize| fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_err();
    (0..20_000).find(is_free).unwrap()
}

#[tokio::test]
async fn a_publish_on_an_open_connection_needs_no_free_file_descriptor() {
    const BYTES: usize = 1 << 20;
    let server = Server::start().await;
    server.publish("/topics/t", "before").await;
    let mut held = TcpStream::connect(&server.address).await.unwrap();
    let request = |bytes: usize| {
        let (host, body) = (&server.address, "x".repeat(bytes));
        format!("POST /topics/t HTTP/1.1\r\nHost: {host}\r\nContent-Length: {bytes}\r\n\r\n{body}")
    };
    held.write_all(request(1).as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut held).await.status, 201);
    server.open_files_at_rest().await;
    let limit = first_free_descriptor(server.pid());
    limit_files(server.pid(), &format!("{limit}:{limit}")).await;
    // So much that the ballast grows.
    for number in 0..20 {
        held.write_all(request(BYTES).as_bytes()).await.unwrap();
        let response = timeout(TIMEOUT, read_response(&mut held)).await.unwrap();
        assert_eq!(response.status, 201, "{number}: {response:?}");
    }
}
