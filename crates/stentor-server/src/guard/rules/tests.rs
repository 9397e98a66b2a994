//! Tests of the rules for hosts, origins and sites.

use super::*;

fn request(method: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri("/topics/news");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "news.example");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn status(guard: &Guard, method: &str, headers: &[(&str, &str)]) -> u16 {
    guard
        .admit(&request(method, headers))
        .map_or_else(|response| response.status().as_u16(), |_| 200)
}

#[test]
fn a_loopback_listener_accepts_loopback_names_only() {
    let guard = Guard::new().with_hosts(["news.example".to_owned()]);
    for host in [
        "localhost",
        "localhost:8080",
        "a.localhost",
        "127.0.0.1:1",
        "127.9.9.9",
        "[::1]:80",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:7f00:1]:8080",
        "a-1.b_2.localhost:65535",
        "localhost:",
        "news.example:80",
    ] {
        assert_eq!(status(&guard, "GET", &[("host", host)]), 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "128.0.0.1",
        "notlocalhost",
        "a@localhost",
        "evil/.localhost",
        "evil?.localhost",
        "evil#a.localhost",
        "a@.localhost",
        ".localhost",
        "evil..localhost",
        "localhost:65536",
        "localhost:1:2",
        "localhost:x",
        "[::2]",
        "[::1",
        "[::1%25lo]",
        "[127.0.0.1]",
        "127.1",
        "news.example:99999",
    ] {
        assert_eq!(status(&guard, "GET", &[("host", host)]), 403, "{host}");
    }
}

#[test]
fn a_listener_for_any_host_refuses_what_is_not_a_host() {
    let guard = Guard::new().with_any_host();
    for host in ["x", "x:80", "x.example.", "10.0.0.1:1", "[2001:db8::1]:80", "a%20b", "x:"] {
        assert_eq!(status(&guard, "GET", &[("host", host)]), 200, "{host}");
    }
    for host in ["x/y", "u@x", "x y", "x:99999", "x:y", "[x]", "[::1", ":80", "x\\y", "x?y"] {
        assert_eq!(status(&guard, "GET", &[("host", host)]), 400, "{host}");
    }
}

#[test]
fn pages_of_other_sites_get_nothing_without_permission() {
    let cross = ("sec-fetch-site", "cross-site");
    let origin = ("origin", "https://app.example");
    let (cors, navigate) = (("sec-fetch-mode", "cors"), ("sec-fetch-mode", "navigate"));
    let no_cors = ("sec-fetch-mode", "no-cors");
    let [document, image, frame] =
        ["document", "image", "iframe"].map(|dest| ("sec-fetch-dest", dest));
    let listed =
        Guard::new().with_any_host().with_origins(["https://app.example".parse().unwrap()]);
    let (none, any) = (
        Guard::new().with_any_host(),
        Guard::new().with_any_host().with_origins(["*".parse().unwrap()]),
    );
    for (headers, expected) in [
        // An EventSource or a fetch.
        (&[cross, cors, origin] as &[_], [403, 200, 200]),
        (&[cross, cors, ("origin", "null")], [403, 403, 200]),
        // An image, without and with `crossorigin`.
        (&[cross, no_cors, image], [403, 403, 200]),
        (&[cross, cors, image, origin], [403, 200, 200]),
        // A link, and a frame.
        (&[cross, navigate, document], [200, 200, 200]),
        (&[cross, navigate, frame], [403, 403, 200]),
        // A bookmark, the console itself, and a program.
        (&[("sec-fetch-site", "none"), navigate, document], [200, 200, 200]),
        (&[("sec-fetch-site", "same-origin"), cors], [200, 200, 200]),
        (&[("sec-fetch-site", "same-site"), no_cors, image], [200, 200, 200]),
        (&[], [200, 200, 200]),
    ] {
        for method in ["GET", "HEAD"] {
            let found = [&none, &listed, &any].map(|guard| status(guard, method, headers));
            assert_eq!(found, expected, "{method} {headers:?}");
        }
    }
}

#[test]
fn an_origin_that_cannot_be_read_is_foreign() {
    let guard = Guard::new().with_any_host().with_origins(["https://a.example".parse().unwrap()]);
    for method in ["GET", "POST", "OPTIONS"] {
        let mut one = request(method, &[]);
        let latin = HeaderValue::from_bytes(b"https://b\xfccher.example").unwrap();
        one.headers_mut().insert(ORIGIN, latin);
        assert_eq!(guard.admit(&one).unwrap_err().status(), 403, "{method}");
        let mut two = request(method, &[("origin", "https://a.example")]);
        two.headers_mut().append(ORIGIN, HeaderValue::from_static("https://a.example"));
        assert_eq!(guard.admit(&two).unwrap_err().status(), 403, "{method}");
    }
}

#[test]
fn a_refusal_has_no_password_of_the_url() {
    let guard = Guard::new();
    for request in [
        Request::get("http://user:secret@evil.example/topics/news").body(()).unwrap(),
        request("GET", &[("host", "user:secret@evil.example")]),
        request("GET", &[("host", "user:secret@localhost@evil.example")]),
    ] {
        let host = request_head::host(&request).unwrap();
        let detail = guard.foreign_host(host).detail().to_owned();
        assert!(detail.contains("evil.example") && !detail.contains("secret"), "{detail}");
        assert_eq!(guard.admit(&request).unwrap_err().status(), 403);
    }
}

#[test]
fn a_page_of_a_foreign_origin_may_not_change_anything() {
    let guard = Guard::new();
    let foreign = [("host", "localhost:8080"), ("origin", "https://evil.example")];
    assert_eq!(status(&guard, "POST", &foreign), 403);
    assert_eq!(status(&guard, "DELETE", &foreign), 403);
    assert_eq!(status(&guard, "GET", &foreign), 200, "the browser hides it from the page");
}

#[test]
fn pages_of_the_same_host_and_of_loopback_origins_may() {
    let guard = Guard::new().with_any_host();
    for origin in
        ["http://localhost:5173", "http://127.0.0.1", "https://app.localhost", "http://[::1]:3"]
    {
        assert_eq!(status(&guard, "POST", &[("host", "x"), ("origin", origin)]), 200, "{origin}");
    }
    assert_eq!(
        status(&guard, "POST", &[("host", "x.example"), ("origin", "https://x.example")]),
        200
    );
    let same =
        [("host", "proxy"), ("origin", "https://x.example"), ("sec-fetch-site", "same-origin")];
    assert_eq!(status(&guard, "POST", &same), 200);
    assert_eq!(status(&guard, "POST", &[("host", "x"), ("origin", "null")]), 403);
    assert!(guard.foreign_origin("null").detail().contains("opened from a file"));
}

#[test]
fn every_response_to_a_listed_origin_has_the_cors_headers() {
    let origins = ["https://App.example/", "null"].map(|origin| origin.parse().unwrap());
    let guard = Guard::new().with_any_host().with_origins(origins);
    for origin in ["https://app.example", "null"] {
        let mut admission = guard.admit(&request("POST", &[("origin", origin)])).unwrap();
        let mut headers = HeaderMap::new();
        admission.add_headers(&mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
        assert_eq!(headers[VARY], "Origin");
    }
}

#[test]
fn a_preflight_allows_what_a_resuming_reader_and_a_publisher_send() {
    let guard = Guard::new().with_any_host();
    let headers =
        [("origin", "http://localhost:5173"), ("access-control-request-method", "DELETE")];
    let response = guard.admit(&request("OPTIONS", &headers)).unwrap_err();
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_METHODS], ALLOWED_METHODS);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], ALLOWED_HEADERS);
    let headers = [("origin", "https://evil.example"), ("access-control-request-method", "DELETE")];
    assert_eq!(status(&guard, "OPTIONS", &headers), 403);
}
