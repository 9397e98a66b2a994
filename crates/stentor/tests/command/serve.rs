//! The start of `stentor serve` and `stentor demo`, and `--verbose`.

use crate::harness::{RunningCommand, Server, StentorCommand, stentor};

const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Runs `stentor` with these arguments until it is ready, and returns all that it printed at its end.
async fn start_and_stop(args: &[&str]) -> Vec<String> {
    let server = started(stentor(args)).await;
    server.signal("TERM").await;
    let done = server.end().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    done.stderr.lines().map(str::to_owned).collect()
}

async fn started(command: StentorCommand) -> RunningCommand {
    let mut server = command.start().await;
    server.until_stderr("listening on http://127.0.0.1:").await;
    server
}

#[tokio::test]
async fn a_server_prints_three_lines_at_its_start_and_then_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("log");
    let data = data.to_str().unwrap();
    for (args, limit) in [
        (vec!["--data", data], "data in DATA (limit 1 GiB)"),
        (vec!["--data", data, "--retain-bytes", "2GiB"], "data in DATA (limit 2 GiB)"),
        (vec!["--data", data, "--retain-bytes", "none"], "data in DATA (no limit)"),
        (vec!["--memory"], "data in memory only (limit 64 MiB)"),
    ] {
        let lines = start_and_stop(&[&["serve"], &ANY_PORT[..], &args].concat()).await;
        let [title, listening, example] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(title.starts_with("stentor 0.") && title.contains(&limit.replace("DATA", data)));
        let (url, console) = listening.split_once(" (web console: ").unwrap();
        let url = url.strip_prefix("listening on ").unwrap();
        assert_eq!(console, format!("{url}/)"));
        assert_eq!(*example, format!("try: curl -d hello {url}/topics/news"));
    }
}

#[tokio::test]
async fn memory_wins_over_the_variables_of_a_log_on_disk() {
    let serve = stentor(&[&["serve", "--memory"], &ANY_PORT[..]].concat());
    let serve = serve.env("STENTOR_DATA", "/nowhere").env("STENTOR_DURABILITY", "os");
    let server = started(serve).await;
    server.signal("TERM").await;
    let done = server.end().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("data in memory only"), "{done:?}");
}

#[tokio::test]
async fn the_command_in_the_banner_publishes_an_event() {
    let server = Server::in_memory().await;
    let url = server.url("/topics/news");
    let curl = tokio::process::Command::new("curl").args(["-sd", "hello", &url]).output().await;
    assert!(curl.unwrap().status.success());
    assert_eq!(server.history_data("/topics/news").await, ["hello"]);
}

#[tokio::test]
async fn a_demo_names_its_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("demos");
    for (args, name) in [(&["demo"][..], "gallery"), (&["demo", "chat"], "chat")] {
        let args = [args, &["--data", data.to_str().unwrap()], &ANY_PORT].concat();
        let lines = start_and_stop(&args).await;
        let path = data.join(name);
        assert!(lines[0].contains(path.to_str().unwrap()), "{lines:?}");
        assert!(lines[1].contains("/console)"), "{lines:?}");
        assert!(path.is_dir());
    }
}

#[tokio::test]
async fn verbose_logs_requests_and_refusals_and_no_library() {
    let serve = [&["serve", "--memory"], &ANY_PORT[..]].concat();
    for (args, is_logged) in [(serve.clone(), false), ([&serve[..], &["-v"]].concat(), true)] {
        let mut server = stentor(&args).start().await;
        let line = server.until_stderr("listening on ").await;
        let address = line.split_once("http://").unwrap().1.split(' ').next().unwrap().to_owned();
        let url = format!("http://{address}/topics/news");
        let published = stentor(&["pub", "--url", &format!("http://{address}"), "news", "x"]).run();
        assert_eq!(published.await.code, Some(0));
        let foreign = ["-s", "-d", "x", "-H", "Host: evil.example", &url];
        tokio::process::Command::new("curl").args(foreign).output().await.unwrap();
        server.signal("TERM").await;
        let log = server.end().await.stderr;
        assert_eq!(log.contains("DEBUG") && log.contains("/topics/news"), is_logged, "{log}");
        assert_eq!(log.contains("INFO") && log.contains("403"), is_logged, "{log}");
        assert!(!log.contains("hyper"), "{log}");
    }
}
