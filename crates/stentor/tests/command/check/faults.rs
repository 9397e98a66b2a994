//! Faulty servers: each fault is found, and no other check fails.

use super::test_server::{Fault, TestServer};
use super::{Checked, check, check_within};

/// Checks a server with this fault, whose stream ends by itself.
async fn find(fault: Fault) -> Checked {
    let server = TestServer::start(fault).await;
    check(&[&server.url(), "--for", "30s"]).await
}

/// Checks a server with this fault by publishing to a stream that does not end.
async fn find_by_publishing(fault: Fault) -> Checked {
    let server = TestServer::start(fault).await;
    let url = server.url();
    check(&[&url, "--for", "500ms", "--publish-url", &url]).await
}

/// A `--patience` for tests in which something never arrives, but long enough for everything else.
const SHORT: &str = "4s";

#[tokio::test]
async fn a_server_without_a_fault_is_not_blamed() {
    let server = TestServer::start(Fault::None).await;
    let url = server.url();
    let checked = check(&[&url, "--for", "3s", "--publish-url", &url]).await;
    checked.must_blame(&[]);
    assert_eq!(checked.with("not observable"), ["end", "http2"], "{:#}", checked.object);
    let finite = find(Fault::Finite).await;
    finite.must_blame(&[]);
    assert!(finite.with("pass").contains(&"end"), "{:#}", finite.object);
}

#[tokio::test]
async fn an_endpoint_that_wraps_published_data_is_not_blamed() {
    let checked = find_by_publishing(Fault::Wraps).await;
    checked.must_blame(&[]);
    let unseen = checked.with("not observable");
    assert_eq!(unseen[..4], ["line-breaks", "spaces", "empty-data", "characters"], "{unseen:?}");
    assert!(checked.with("pass").contains(&"injection"), "{:#}", checked.object);
}

#[tokio::test]
async fn a_wrong_content_type_and_unrequested_compression() {
    find(Fault::PlainAndGzip).await.must_blame(&["content-type", "compression"]);
}

#[tokio::test]
async fn compression_that_holds_the_stream_back() {
    let server = TestServer::start(Fault::GzipWhenAsked).await;
    check_within(SHORT, &[&server.url()]).await.must_blame(&["compression"]);
}

#[tokio::test]
async fn headers_that_allow_caching_and_buffering() {
    find(Fault::Headers).await.must_blame(&["cache-control", "x-accel-buffering"]);
}

#[tokio::test]
async fn a_url_without_a_stream() {
    let checked = find(Fault::Status404).await;
    checked.must_blame(&["status"]);
    assert_eq!(checked.with("pass"), ["redirects"], "{:#}", checked.object);
}

#[tokio::test]
async fn a_redirect_to_itself() {
    find(Fault::RedirectLoop).await.must_blame(&["redirects"]);
}

#[tokio::test]
async fn a_head_that_waits_for_the_first_event() {
    let server = TestServer::start(Fault::WaitsForEvent).await;
    let url = server.url();
    let args = [&*url, "--for", "500ms"];
    check_within("500ms", &args).await.must_blame(&["first-byte"]);
}

#[tokio::test]
async fn a_stream_that_is_silent_for_too_long() {
    let server = TestServer::start(Fault::NoKeepAlive).await;
    let url = server.url();
    check(&[&url, "--for", "800ms", "--idle-timeout", "400ms"]).await.must_blame(&["keep-alive"]);
}

#[tokio::test]
async fn a_buffer_that_sends_whole_blocks() {
    find(Fault::Blocks).await.must_blame(&["buffering"]);
}

#[tokio::test]
async fn a_buffer_that_holds_each_event_until_the_next() {
    let server = TestServer::start(Fault::HoldsBack).await;
    let url = server.url();
    let args = [&*url, "--for", "100ms", "--publish-url", &url];
    check_within(SHORT, &args).await.must_blame(&["buffering"]);
}

#[tokio::test]
async fn data_split_at_lf_only() {
    find_by_publishing(Fault::SplitsAtLf).await.must_blame(&["line-breaks", "injection"]);
}

#[tokio::test]
async fn data_without_a_space_after_the_colon() {
    find_by_publishing(Fault::NoSpace).await.must_blame(&["spaces"]);
}

#[tokio::test]
async fn empty_data_that_never_arrives() {
    find_by_publishing(Fault::NoEmptyData).await.must_blame(&["empty-data"]);
}

#[tokio::test]
async fn published_events_that_never_arrive() {
    let server = TestServer::start(Fault::Loses).await;
    let url = server.url();
    let args = [&*url, "--for", "100ms", "--publish-url", &url];
    check_within(SHORT, &args).await.must_blame(&["delivery"]);
}

#[tokio::test]
async fn a_byte_order_mark_in_the_middle() {
    find(Fault::Mark).await.must_blame(&["utf-8"]);
}

#[tokio::test]
async fn events_without_a_blank_line() {
    let server = TestServer::start(Fault::NoBlankLine).await;
    check(&[&server.url(), "--for", "3s"]).await.must_blame(&["block-ends"]);
}

#[tokio::test]
async fn a_reconnection_time_of_zero() {
    find(Fault::Retry0).await.must_blame(&["retry"]);
}

#[tokio::test]
async fn events_repeated_after_a_reconnect() {
    find(Fault::ForgetsReaders).await.must_blame(&["resume"]);
}

#[tokio::test]
async fn an_event_skipped_after_a_reconnect() {
    find(Fault::Skips).await.must_blame(&["resume"]);
}

#[tokio::test]
async fn one_id_for_all_events() {
    find(Fault::OneId).await.must_blame(&["unique-ids", "end"]);
}

#[tokio::test]
async fn an_unknown_id_that_is_an_error() {
    find(Fault::UnknownIs400).await.must_blame(&["unknown-id"]);
}

#[tokio::test]
async fn a_finished_stream_that_starts_again() {
    find(Fault::Loops).await.must_blame(&["end"]);
}

#[tokio::test]
async fn a_stream_that_breaks_off() {
    find(Fault::Breaks).await.must_blame(&["end"]);
}

#[tokio::test]
async fn a_refused_preflight() {
    find(Fault::NoPreflight).await.must_blame(&["cors-preflight"]);
}

#[tokio::test]
async fn a_stream_as_response_to_head() {
    let server = TestServer::start(Fault::HeadHangs).await;
    check_within(SHORT, &[&server.url()]).await.must_blame(&["head"]);
}
