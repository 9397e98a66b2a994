//! Reading: order, limits, progress, filters.

use std::cell::Cell;

use futures_util::future::join3;

use super::Log;
use super::log::{contents, end, entry, event, filters, request};
use crate::cursor::Offset;
use crate::storage::{Budget, Page, ReadRequest};

pub async fn matching_records_are_returned_in_log_order(log: &Log) {
    for n in 0..9 {
        log.event(["a", "b", "c"][n % 3], &n.to_string()).await;
    }
    assert_eq!(contents(&log.all("a").await), ["a: 0", "a: 3", "a: 6"]);
    let expected = ["a: 0", "c: 2", "a: 3", "c: 5", "a: 6", "c: 8"];
    assert_eq!(contents(&log.all("c a").await), expected);
    assert_eq!(log.all("*").await, log.sink_records());
}

pub async fn reading_begins_after_one_offset_and_ends_with_another(log: &Log) {
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(log.event("a", &n.to_string()).await.offset);
    }
    for filter in ["a", "*"] {
        assert_eq!(contents(&log.between(filter, ids[1], ids[3]).await), ["a: 2", "a: 3"]);
        assert_eq!(contents(&log.between(filter, ids[4], Offset::MAX).await), ["a: 5"]);
        let page = log.read(ReadRequest { until: ids[2], ..request(filter, ids[2]) }).await;
        assert_eq!((contents(&page.records).len(), page.through), (0, ids[2]));
    }
}

pub async fn reading_beyond_the_tail_ends_at_the_tail(log: &Log) {
    log.event("a", "1").await;
    let last = log.event("b", "2").await.offset;
    for (filter, until) in [("a", Offset::MAX), ("*", Offset::MAX), ("a", last.next())] {
        let page = log.read(ReadRequest { until, ..request(filter, Offset::ZERO) }).await;
        assert_eq!(page.through, last);
    }
}

pub async fn reading_at_the_tail_returns_no_records(log: &Log) {
    let tail = log.event("a", "1").await.offset;
    for filter in ["a", "b", "*"] {
        let page = log.read(request(filter, tail)).await;
        assert_eq!((page.records.len(), page.through, page.removed), (0, tail, None));
    }
    log.event("a", "2").await;
    assert_eq!(contents(&log.after("a", tail).await), ["a: 2"]);
}

pub async fn all_records_are_considered_even_if_none_matches(log: &Log) {
    let mut tail = Offset::ZERO;
    for n in 0..20 {
        tail = log.event("a", &n.to_string()).await.offset;
    }
    for filter in ["b", "b/*", "b c/**"] {
        let page = log.read(request(filter, Offset::ZERO)).await;
        assert_eq!((page.records.len(), page.through, page.removed), (0, tail, None), "{filter}");
    }
}

pub async fn ends_and_deletions_are_read_like_events(log: &Log) {
    log.append(vec![event("a", "1"), event("b", "2"), end("a", "why")]).await;
    log.delete("b").await;
    for filter in ["*", "a b"] {
        assert_eq!(contents(&log.all(filter).await), ["a: 1", "a ends: why", "b deleted"]);
    }
}

const LARGE: Budget = Budget { records: 1_000, bytes: 1 << 20, rows: 10_000 };

impl Log {
    async fn page(&self, filters: &str, after: Offset, budget: Budget) -> Page {
        self.read(ReadRequest { budget, ..request(filters, after) }).await
    }
}

pub async fn no_more_records_are_returned_than_the_budget_allows(log: &Log) {
    for n in 0..9 {
        log.event(["a", "b"][n % 2], &n.to_string()).await;
    }
    for filter in ["a b", "*"] {
        let page = log.page(filter, Offset::ZERO, Budget { records: 3, ..LARGE }).await;
        assert_eq!(contents(&page.records), ["a: 0", "b: 1", "a: 2"]);
        let page = log.page(filter, page.through, Budget { records: 3, ..LARGE }).await;
        assert_eq!(contents(&page.records), ["b: 3", "a: 4", "b: 5"]);
    }
}

pub async fn no_more_bytes_are_returned_than_the_budget_allows(log: &Log) {
    for _ in 0..6 {
        log.event("a", "0123456789").await;
    }
    for filter in ["a", "*"] {
        for (bytes, records) in [(30, 3), (29, 2), (39, 3), (60, 6), (11, 1)] {
            let page = log.page(filter, Offset::ZERO, Budget { bytes, ..LARGE }).await;
            assert_eq!(page.records.len(), records, "with {bytes} bytes");
        }
    }
}

pub async fn one_record_is_returned_however_large_it_is(log: &Log) {
    let large = "x".repeat(500_000);
    log.event("a", "before").await;
    log.event("a", &large).await;
    log.event("a", "behind").await;
    for filter in ["a", "*"] {
        let budget = Budget { bytes: 1_000, ..LARGE };
        let first = log.page(filter, Offset::ZERO, budget).await;
        assert_eq!(contents(&first.records), ["a: before"]);
        let second = log.page(filter, first.through, budget).await;
        assert_eq!(second.records.len(), 1);
        assert_eq!(second.records[0].body().bytes(), large.len());
        let third = log.page(filter, second.through, budget).await;
        assert_eq!(contents(&third.records), ["a: behind"]);
    }
}

pub async fn a_budget_of_nothing_still_makes_progress(log: &Log) {
    for n in 0..4 {
        log.event(["a", "b"][n % 2], &n.to_string()).await;
    }
    let nothing = Budget { records: 0, bytes: 0, rows: 0 };
    let tail = log.storage.bounds().tail;
    for filter in ["a", "a b", "b/**", "*"] {
        let mut after = Offset::ZERO;
        let mut records = Vec::new();
        // `Log::read` checks progress.
        while after < tail {
            let page = log.page(filter, after, nothing).await;
            records.extend(page.records);
            after = page.through;
        }
        assert_eq!(records, log.all(filter).await, "{filter}");
    }
}

pub async fn pages_of_any_budget_add_up_to_one_large_read(log: &Log) {
    for n in 0..60_usize {
        let topic = ["a", "a/b", "c", "d/e", "d/f/g"][n * 7 % 5];
        log.event(topic, &"x".repeat(n * 13 % 40)).await;
    }
    log.append(vec![end("a", "done"), end("d/e", "")]).await;
    log.delete("c").await;
    let tail = log.storage.bounds().tail;
    for filter in ["a", "a c", "a/*", "d/**", "**", "a d/*", "none"] {
        let whole = log.all(filter).await;
        for records in [1, 2, 7, 1_000] {
            for bytes in [1, 50, 1 << 20] {
                for rows in [1, 3, 10_000] {
                    let budget = Budget { records, bytes, rows };
                    let mut after = Offset::ZERO;
                    let mut joined = Vec::new();
                    while after < tail {
                        let page = log.page(filter, after, budget).await;
                        joined.extend(page.records);
                        after = page.through;
                    }
                    assert_eq!(contents(&joined), contents(&whole), "{filter} {budget:?}");
                    assert_eq!(after, tail);
                }
            }
        }
    }
}

pub async fn a_reader_beside_a_publisher_misses_nothing(log: &Log) {
    let done = Cell::new(false);
    let publisher = async {
        for round in 0..40 {
            let publish = |n| event("a", &format!("{round}.{n}")).and(entry("b/c", "x"));
            log.append((0..5).map(publish).collect()).await;
            tokio::task::yield_now().await;
        }
        done.set(true);
    };
    let reader = async |filter: &str| {
        let mut request = request(filter, Offset::ZERO);
        let mut records = Vec::new();
        while !done.get() || request.after < log.storage.bounds().tail {
            let page = log.read(request.clone()).await;
            records.extend(page.records);
            request.after = page.through;
            tokio::task::yield_now().await;
        }
        records
    };
    let (exact, all, ()) = join3(reader("a b/c"), reader("**"), publisher).await;
    assert_eq!(exact, log.sink_records());
    assert_eq!(all, exact);
    assert_eq!(all.len(), 400);
}

pub async fn a_record_that_several_filters_match_is_read_once(log: &Log) {
    log.event("a/b", "1").await;
    log.event("a/c", "2").await;
    let several = "a/b a/* a/** ** */b */*";
    assert_eq!(contents(&log.all(several).await), ["a/b: 1", "a/c: 2"]);
}

pub async fn sixty_four_exact_topics_are_merged(log: &Log) {
    let names: Vec<String> = (0..64).map(|n| format!("t{n}")).collect();
    for n in 0..200 {
        log.event(&format!("t{}", n * 37 % 80), &n.to_string()).await;
    }
    let all = filters(&names.join(" "));
    let expected: Vec<_> =
        log.sink_records().into_iter().filter(|record| all.matches(record.topic())).collect();
    assert_eq!(log.all(&names.join(" ")).await, expected);
}

impl Log {
    /// The names of the topics that a filter matches, for topics with one event each.
    async fn matched(&self, filter: &str) -> Vec<String> {
        let records = self.all(filter).await;
        records.iter().map(|record| record.topic().to_string()).collect()
    }
}

pub async fn one_star_matches_one_segment(log: &Log) {
    for topic in ["a", "a/b", "a/c", "a/b/c", "ab/c", "x/b/c", "a/"] {
        log.event(topic, "x").await;
    }
    assert_eq!(log.matched("*").await, ["a"]);
    assert_eq!(log.matched("a/*").await, ["a/b", "a/c", "a/"]);
    assert_eq!(log.matched("*/b/c").await, ["a/b/c", "x/b/c"]);
    assert_eq!(log.matched("a/*/c").await, ["a/b/c"]);
    assert_eq!(log.matched("*/*").await, ["a/b", "a/c", "ab/c", "a/"]);
}

pub async fn two_stars_match_one_or_more_segments(log: &Log) {
    for topic in ["a", "a/b", "a/b/c", "ab", "b/c/d/e"] {
        log.event(topic, "x").await;
    }
    assert_eq!(log.matched("**").await, ["a", "a/b", "a/b/c", "ab", "b/c/d/e"]);
    assert_eq!(log.matched("a/**").await, ["a/b", "a/b/c"]);
    assert_eq!(log.matched("a/b/**").await, ["a/b/c"]);
    assert_eq!(log.matched("*/**").await, ["a/b", "a/b/c", "b/c/d/e"]);
    assert_eq!(log.matched("*/c/**").await, ["b/c/d/e"]);
}

pub async fn no_pattern_with_a_leading_wildcard_matches_a_reserved_name(log: &Log) {
    for topic in ["$sys", "$sys/a", "a/$sys", "b"] {
        log.event(topic, "x").await;
    }
    assert_eq!(log.matched("**").await, ["a/$sys", "b"]);
    assert_eq!(log.matched("* */*").await, ["a/$sys", "b"]);
    assert_eq!(log.matched("$sys/*").await, ["$sys/a"]);
    assert_eq!(log.matched("$sys/**").await, ["$sys/a"]);
    assert_eq!(log.matched("$sys").await, ["$sys"]);
    assert_eq!(log.matched("** $sys").await, ["$sys", "a/$sys", "b"]);
}

pub async fn special_characters_of_query_languages_are_ordinary_in_names(log: &Log) {
    for topic in ["a_b/c", "axb/c", "a%/c", "abc/c", "[ab]/c", "a?b/c", "A_B/c", "a*b/c"] {
        log.event(topic, "x").await;
    }
    for topic in ["a_b", "a%", "[ab]", "a?b", "A_B"] {
        assert_eq!(log.matched(&format!("{topic}/*")).await, [format!("{topic}/c")]);
        assert_eq!(log.matched(&format!("{topic}/**")).await, [format!("{topic}/c")]);
        assert_eq!(log.matched(&format!("{topic}/c")).await, [format!("{topic}/c")]);
    }
}
