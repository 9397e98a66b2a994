//! Safe by default: the accepted hosts, and the web pages that may read and publish.

use crate::harness::{Options, Request, Response, Server, StreamMode, send_raw};

const METHODS: &str = "GET, POST, PUT, DELETE";
const HEADERS: &str = "Last-Event-ID, Idempotency-Key, Content-Type, Authorization, Cache-Control";

/// Returns the response to a request with this `Host` header, or without one.
async fn with_host(server: &Server, host: Option<&str>) -> Response {
    let host = host.map(|host| format!("Host: {host}\r\n")).unwrap_or_default();
    let request = format!("GET /health/live HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    Response::parse(&send_raw(&server.address, request.as_bytes()).await)
}

async fn with_origins(origins: &[&str]) -> Server {
    origins
        .iter()
        .fold(Options::in_memory(), |options, origin| options.origin(origin))
        .start()
        .await
}

fn allowed(response: &Response) -> Option<&str> {
    response.header("access-control-allow-origin")
}

fn preflight(server: &Server, origin: &str, method: &str) -> Request {
    let request = server.request("OPTIONS", "/topics/news").header("Origin", origin);
    request.header("Access-Control-Request-Method", method)
}

#[tokio::test]
async fn a_loopback_server_answers_to_loopback_names_only() {
    let server = Server::in_memory().await;
    for host in [
        "localhost",
        "LOCALHOST:1",
        "app.localhost",
        "a.b.localhost:8080",
        "127.0.0.1",
        "127.1.2.3:99",
        "[::1]",
        "[::1]:80",
    ] {
        assert_eq!(with_host(&server, Some(host)).await.status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evillocalhost",
        "192.168.0.1",
        "128.0.0.1:8080",
        "[::2]",
        "127.0.0.1.evil.example",
    ] {
        let response = with_host(&server, Some(host)).await;
        let detail = response.problem(403, "host");
        assert!(detail.contains("--host NAME") && detail.contains(host), "{detail}");
    }
}

#[tokio::test]
async fn a_foreign_host_neither_reads_nor_writes() {
    let server = Server::in_memory().await;
    for line in
        ["GET /topics/news", "POST /topics/news", "DELETE /topics/news", "GET /", "GET /metrics"]
    {
        let request = format!(
            "{line} HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        Response::parse(&send_raw(&server.address, request.as_bytes()).await).problem(403, "host");
    }
    assert!(server.page("/topics").await["topics"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_of_http_1_0_may_omit_the_host() {
    let server = Server::in_memory().await;
    let response =
        Response::parse(&send_raw(&server.address, b"GET /health/live HTTP/1.0\r\n\r\n").await);
    assert_eq!(response.status, 200);
    let response = Response::parse(
        &send_raw(&server.address, b"GET /health/live HTTP/1.0\r\nHost: evil.example\r\n\r\n")
            .await,
    );
    response.problem(403, "host");
    with_host(&server, None).await.problem(400, "head");
}

/// The kinds of requests that take different paths through the server.
const KINDS: [&str; 5] = [
    "GET /topics/news",
    "GET /health/live",
    "POST /topics/news",
    "POST /topics",
    "DELETE /topics/news",
];

#[tokio::test]
async fn a_request_names_exactly_one_host() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        for line in KINDS {
            for (target, hosts) in [
                ("", ""),
                ("", "Host: localhost\r\nHost: localhost\r\n"),
                ("", "Host: localhost\r\nhost: evil.example\r\n"),
                ("", "Host:\r\n"),
                ("http://localhost", "Host: evil.example\r\n"),
                ("http://evil.example", "Host: localhost\r\n"),
            ] {
                let line = line.replacen(" /", &format!(" {target}/"), 1);
                let request = format!(
                    "{line} HTTP/1.1\r\n{hosts}Content-Length: 1\r\nConnection: close\r\n\r\nx"
                );
                let response = send_raw(&server.address, request.as_bytes()).await;
                Response::parse(&response).problem(400, "head");
            }
        }
        assert!(server.page("/topics").await["topics"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_text_that_only_ends_like_a_loopback_name_is_refused() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        for line in KINDS {
            for host in
                ["evil/.localhost", "evil.example#.localhost", "u@localhost", "localhost:99999"]
            {
                let request = format!(
                    "{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
                );
                let response = send_raw(&server.address, request.as_bytes()).await;
                Response::parse(&response).problem(403, "host");
            }
        }
    }
}

#[tokio::test]
async fn an_origin_with_other_characters_than_ascii_is_refused() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        for line in KINDS {
            let request = format!(
                "{line} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://b\u{fc}cher.example\r\n\
                 Content-Length: 1\r\nConnection: close\r\n\r\nx"
            );
            let response = send_raw(&server.address, request.as_bytes()).await;
            Response::parse(&response).problem(403, "foreign-origin");
        }
    }
}

#[tokio::test]
async fn other_sites_read_only_with_permission_and_links_are_followed() {
    let server = with_origins(&["https://app.example"]).await;
    let cross = |path: &str| server.get(path).header("Sec-Fetch-Site", "cross-site");
    for path in ["/topics/news", "/events?topic=**", "/topics", "/metrics", "/"] {
        let image = cross(path).header("Sec-Fetch-Mode", "no-cors").send().await;
        assert!(image.problem(403, "foreign-origin").contains("crossorigin"));
        let foreign = cross(path).header("Origin", "https://evil.example").send().await;
        foreign.problem(403, "foreign-origin");
        let frame = cross(path).header("Sec-Fetch-Mode", "navigate");
        frame.header("Sec-Fetch-Dest", "iframe").send().await.problem(403, "foreign-origin");
    }
    let stream = cross("/topics/news").header("Origin", "https://app.example").open().await;
    assert_eq!(allowed(&stream.head), Some("https://app.example"));
    let link = cross("/topics/news").header("Accept", "text/html");
    let link = link.header("Sec-Fetch-Mode", "navigate").header("Sec-Fetch-Dest", "document");
    assert_eq!(link.send().await.status, 303);
}

#[tokio::test]
async fn a_proxy_on_the_same_machine_may_pass_a_name_that_was_listed() {
    let options = Options::in_memory().host("news.example").host("other.example:8443");
    let server = options.start().await;
    for host in ["news.example", "News.Example:443", "other.example:8443", "localhost"] {
        assert_eq!(with_host(&server, Some(host)).await.status, 200, "{host}");
    }
    for host in ["www.news.example", "evil.example"] {
        with_host(&server, Some(host)).await.problem(403, "host");
    }
}

#[tokio::test]
async fn a_page_of_a_loopback_origin_may_read_and_publish() {
    let server = Server::in_memory().await;
    for origin in [
        "http://localhost:5173",
        "http://127.0.0.1:3000",
        "https://app.localhost",
        "http://[::1]:8",
    ] {
        let post = server.post("/topics/news", "x").header("Origin", origin).send().await;
        assert_eq!((post.status, allowed(&post)), (201, Some(origin)));
        let stream = server.get("/topics/news").header("Origin", origin).open().await;
        assert_eq!(allowed(&stream.head), Some(origin));
        assert_eq!(stream.head.header("vary"), Some("Accept, Origin"));
        let delete = server.delete("/topics/news").header("Origin", origin).send().await;
        assert_eq!((delete.status, allowed(&delete)), (204, Some(origin)));
    }
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_can_change_nothing_and_read_nothing() {
    let server = Server::in_memory().await;
    server.publish("/topics/news", "stays").await;
    for origin in
        ["https://evil.example", "null", "http://localhost.evil.example", "https://evil.example:80"]
    {
        for method in ["POST", "PUT", "DELETE"] {
            let request = server.request(method, "/topics/news").body("x").header("Origin", origin);
            let response = request.send().await;
            assert!(
                response.problem(403, "foreign-origin").contains("--cors-origin"),
                "{response:?}"
            );
            assert_eq!(allowed(&response), None);
        }
        let batch = server.post("/topics", r#"[{"topic":"news","data":"x"}]"#);
        batch.header("Origin", origin).send().await.problem(403, "foreign-origin");
        preflight(&server, origin, "POST").send().await.problem(403, "foreign-origin");
        let page = server.get("/topics/news").header("Accept", "application/json");
        let page = page.header("Origin", origin).send().await;
        assert_eq!(
            (page.status, allowed(&page)),
            (200, None),
            "the browser hides it from the page"
        );
    }
    assert_eq!(server.history_data("/topics/news").await, ["stays"]);
}

#[tokio::test]
async fn listed_origins_are_allowed() {
    let server = with_origins(&["https://app.example", "null"]).await;
    for origin in ["https://app.example", "null"] {
        let response = server.post("/topics/news", "x").header("Origin", origin).send().await;
        assert_eq!((response.status, allowed(&response)), (201, Some(origin)));
    }
    for origin in ["http://app.example", "https://app.example:8443", "https://other.example"] {
        let response = server.post("/topics/news", "x").header("Origin", origin).send().await;
        response.problem(403, "foreign-origin");
    }
}

#[tokio::test]
async fn an_origin_may_be_written_with_a_slash_its_default_port_and_capitals() {
    let server =
        with_origins(&["https://a.example/", "HTTPS://B.example:443", "http://c.example:80/"])
            .await;
    for origin in ["https://a.example", "https://b.example", "http://c.example"] {
        let response = server.post("/topics/news", "x").header("Origin", origin).send().await;
        assert_eq!((response.status, allowed(&response)), (201, Some(origin)));
    }
}

#[tokio::test]
async fn a_star_allows_every_origin() {
    let server = with_origins(&["*"]).await;
    for origin in ["https://any.example", "null"] {
        let response = server.post("/topics/news", "x").header("Origin", origin).send().await;
        assert_eq!(response.status, 201);
        assert!(matches!(allowed(&response), Some(value) if value == "*" || value == origin));
        assert_eq!(preflight(&server, origin, "DELETE").send().await.status, 204);
    }
}

#[tokio::test]
async fn a_preflight_allows_what_readers_and_publishers_send() {
    let server = with_origins(&["https://app.example"]).await;
    for origin in ["http://localhost:5173", "https://app.example"] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let response = preflight(&server, origin, method).send().await;
            assert_eq!((response.status, allowed(&response)), (204, Some(origin)));
            assert_eq!(response.header("access-control-allow-methods"), Some(METHODS));
            assert_eq!(response.header("access-control-allow-headers"), Some(HEADERS));
            assert_eq!(response.header("vary"), Some("Origin"));
        }
    }
}

#[tokio::test]
async fn every_response_to_an_allowed_page_has_cors_headers_errors_and_204_too() {
    let server = Server::in_memory().await;
    let origin = "http://localhost:5173";
    let end = server.publish("/topics/over?end", "").await;
    for (request, status) in [
        (server.get("/topics/over").header("Last-Event-ID", &end), 204),
        (server.get("/topics/over"), 200),
        (server.get("/topics/news?form=now"), 400),
        (server.get("/nowhere"), 404),
        (server.request("PATCH", "/topics/news"), 405),
        (server.post("/topics/over", "more"), 409),
        (server.post("/topics/news", "x").header("Content-Encoding", "gzip"), 415),
        (server.get("/topics/over").header("Accept", "application/json"), 200),
        (server.get("/topics"), 200),
    ] {
        let response = request.header("Origin", origin).send().await;
        assert_eq!((response.status, allowed(&response)), (status, Some(origin)), "{response:?}");
        assert!(response.header("vary").unwrap().contains("Origin"), "{response:?}");
    }
}

#[tokio::test]
async fn our_own_pages_may_do_anything() {
    let server = Options::in_memory().host("news.example").start().await;
    // The origin names the requested host. Its scheme may differ, because a proxy may speak TLS.
    for (origin, more) in [
        ("https://news.example", ""),
        ("http://news.example", ""),
        ("https://behind.a.proxy.example", "Sec-Fetch-Site: same-origin\r\n"),
    ] {
        let request = format!(
            "POST /topics/news HTTP/1.1\r\nHost: news.example\r\nOrigin: {origin}\r\n{more}\
             Content-Length: 1\r\nConnection: close\r\n\r\nx"
        );
        let response = Response::parse(&send_raw(&server.address, request.as_bytes()).await);
        assert_eq!(response.status, 201, "{origin}: {response:?}");
    }
    let request = "POST /topics/news HTTP/1.1\r\nHost: news.example\r\nOrigin: https://evil.example\r\n\
                   Sec-Fetch-Site: cross-site\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
    Response::parse(&send_raw(&server.address, request.as_bytes()).await)
        .problem(403, "foreign-origin");
}
