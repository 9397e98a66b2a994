//! Pages whose `console` blocks run as they are.

use crate::harness::Server;
use crate::session::Session;

#[tokio::test]
async fn the_examples_of_the_command_line_print_what_the_page_shows() {
    let server = Server::start().await;
    Session::new().run("docs/cli.md", &server, &[]).await;
}

#[tokio::test]
async fn the_requests_of_the_http_page_get_the_responses_that_it_shows() {
    let server = Server::start().await;
    Session::new().run("docs/http.md", &server, &[]).await;
}

#[tokio::test]
async fn the_examples_of_the_log_print_what_the_page_shows() {
    let server = Server::start().await;
    let mut session = Session::new();
    let data = server.directory().join("stentor-data");
    std::os::unix::fs::symlink(data, session.directory().join("stentor-data")).unwrap();
    session.run("docs/log.md", &server, &[]).await;
}
