//! The index finds what the filters match, at a cost that depends on the topic, and no wake-up is missed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]

use std::hash::{BuildHasher, Hasher};
use std::sync::mpsc;
use std::time::Duration;

use futures_util::FutureExt;

use super::patterns::Patterns;
use super::*;
use crate::consumer::Consumer;
use crate::cursor::{Epoch, Offset};
use crate::filter::TopicFilter;
use crate::record::{Attributes, Body};
use crate::storage::{Budget, LiveWindow};
use crate::timestamp::Timestamp;

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

fn filters<T: AsRef<str>>(texts: &[T]) -> Filters {
    Filters::new(texts.iter().map(|text| text.as_ref().parse::<TopicFilter>().unwrap())).unwrap()
}

fn record(name: &str, offset: u64) -> Arc<Record> {
    let body = Body::Event(stentor_sse::Event::new("data"));
    let (offset, time) = (Offset::new(offset), Timestamp::now());
    Arc::new(Record::new(Epoch::random(), offset, time, topic(name), body, Attributes::default()))
}

/// A reader that listens with a key.
struct Reader {
    filters: Filters,
    listening: Listening,
    registration: Registration,
}

impl Reader {
    fn new(interest: &Interest, consumer: &Consumer, key: usize, filters: Filters) -> Reader {
        let registration = interest.register(&filters);
        let listening = registration.listen(consumer.clone(), Some(key));
        Reader { filters, listening, registration }
    }
}

fn woken(consumer: &Consumer) -> Vec<usize> {
    let mut keys = Vec::new();
    consumer.take_ready(&mut keys);
    keys.sort_unstable();
    keys
}

/// Returns a random filter of few different segments, so that many filters overlap.
fn random_filter(rng: &mut fastrand::Rng) -> TopicFilter {
    let count = rng.usize(1..=5);
    let mut segments: Vec<&str> =
        (0..count).map(|_| *rng.choice(&["*", "a", "b", "", "$x"]).unwrap()).collect();
    if rng.u8(0..4) == 0 {
        segments.push("**");
    }
    let text = segments.join("/");
    text.parse().unwrap_or_else(|_| "a".parse().unwrap())
}

fn random_topic(rng: &mut fastrand::Rng) -> TopicName {
    let segments = (0..rng.usize(1..=6)).map(|_| *rng.choice(&["a", "b", "", "$x", "c"]).unwrap());
    TopicName::new(segments.collect::<Vec<_>>().join("/")).unwrap_or_else(|_| topic("a"))
}

#[test]
fn the_index_finds_exactly_the_readers_whose_filters_match() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (interest, consumer) = (Interest::default(), Consumer::new());
        let mut readers: Vec<Option<Reader>> = Vec::new();
        for offset in 1..300 {
            if rng.u8(0..3) < 2 {
                let count = if rng.bool() { 1 } else { rng.usize(1..=4) };
                let filters = Filters::new((0..count).map(|_| random_filter(&mut rng))).unwrap();
                let reader = Reader::new(&interest, &consumer, readers.len(), filters);
                reader.registration.set_readers(rng.usize(0..4));
                readers.push(Some(reader));
            } else if let Some(reader) = rng.choice(&mut readers) {
                *reader = None;
            }
            let name = random_topic(&mut rng);
            let matching: Vec<_> = readers
                .iter()
                .enumerate()
                .filter_map(|(key, reader)| Some((key, reader.as_ref()?)))
                .filter(|(_, reader)| reader.filters.matches(&name))
                .collect();
            interest.wake(&[record(name.as_str(), offset)]);
            let keys: Vec<_> = matching.iter().map(|(key, _)| *key).collect();
            assert_eq!(woken(&consumer), keys, "seed {seed}, {name}");
            for (_, reader) in &matching {
                assert_eq!(reader.listening.rearm(), Some(Offset::new(offset)));
            }
            let count: usize = matching.iter().map(|(_, reader)| reader.readers()).sum();
            assert_eq!(interest.subscribers(&name), count, "seed {seed}, {name}");
        }
        readers.clear();
        assert_eq!(interest.0.size(), 0, "seed {seed}: nothing is left in the index");
        assert!(interest.0.is_empty());
    }
}

impl Reader {
    fn readers(&self) -> usize {
        self.registration.readers()
    }
}

/// A hasher with four different results.
#[derive(Default)]
struct Weak;

struct WeakHasher(u64);

impl BuildHasher for Weak {
    type Hasher = WeakHasher;

    fn build_hasher(&self) -> WeakHasher {
        WeakHasher(0)
    }
}

impl Hasher for WeakHasher {
    fn write(&mut self, bytes: &[u8]) {
        let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
        self.0 = (self.0 + sum) % 4;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[test]
fn equal_hashes_of_different_segments_do_no_harm() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let patterns = Patterns::<Weak>::default();
        let mut claimed = Vec::new();
        for _ in 0..200 {
            let filter = random_filter(&mut rng);
            if matches!(filter, TopicFilter::Pattern(_)) {
                claimed.push(patterns.claim(&filter));
            }
            if rng.u8(0..3) == 0 && !claimed.is_empty() {
                patterns.release(&claimed.swap_remove(rng.usize(0..claimed.len())));
            }
            let name = random_topic(&mut rng);
            let mut found = Vec::new();
            patterns.find(&name, |entry| found.push(entry.filter.as_str().to_owned()));
            let matching = claimed.iter().filter(|entry| entry.filter.matches(&name));
            let mut expected: Vec<_> =
                matching.map(|entry| entry.filter.as_str().to_owned()).collect();
            expected.sort_unstable();
            expected.dedup();
            found.sort_unstable();
            assert_eq!(found, expected, "seed {seed}, {name}");
        }
        for entry in &claimed {
            patterns.release(entry);
        }
        assert_eq!(patterns.nodes(), 0, "seed {seed}");
    }
}

/// Returns the steps of a publish to `name` beside one reader for each of these filters, and the number of wake-ups.
fn steps_beside(texts: impl Iterator<Item = String>, name: &str) -> (usize, usize) {
    let (interest, consumer) = (Interest::default(), Consumer::new());
    let readers: Vec<_> = texts
        .enumerate()
        .map(|(key, text)| Reader::new(&interest, &consumer, key, filters(&[text])))
        .collect();
    let steps = interest.wake(&[record(name, 1)]);
    let keys = woken(&consumer);
    assert_eq!(interest.subscribers(&topic(name)), keys.len(), "of {}", readers.len());
    (steps, keys.len())
}

#[test]
fn a_publish_costs_the_same_beside_10_and_beside_50_000_patterns() {
    let users = |count: usize| (0..count).map(|user| format!("user/{user}/*"));
    let few = steps_beside(users(10), "user/7/inbox");
    assert_eq!(few, (2, 1), "one node and its step");
    assert_eq!(steps_beside(users(50_000), "user/7/inbox"), few);
    assert_eq!(steps_beside(users(50_000), "news").0, 0, "no pattern begins like this topic");
    let wild = |count: usize| (0..count).map(|user| format!("*/of/user/{user}/*"));
    assert_eq!(
        steps_beside(wild(50_000), "all/of/user/7/inbox"),
        steps_beside(wild(10), "all/of/user/7/inbox")
    );
}

#[test]
fn a_publish_beside_long_patterns_costs_no_more_than_the_segments_of_its_topic() {
    let name = vec!["s"; 200].join("/");
    let common = vec!["*"; 199].join("/");
    let (steps, woken) = steps_beside((0..4_000).map(|n| format!("{common}/{n}")), &name);
    assert_eq!(woken, 0);
    assert!(steps <= 201, "{steps} steps");
    let open = |n: usize| format!("{}/**", vec!["*"; n].join("/"));
    let (steps, woken) = steps_beside((1..=199).map(open), &name);
    assert_eq!(woken, 199);
    assert!(steps <= 2 * 200, "{steps} steps");
}

#[test]
fn a_publish_visits_each_part_of_the_patterns_at_most_once() {
    // All patterns agree with the topic in all segments but the last.
    let mut rng = fastrand::Rng::with_seed(1);
    let patterns: Vec<String> = (0..1_000)
        .map(|_| {
            let segments = (0..199).map(|_| if rng.bool() { "*" } else { "s" });
            segments.chain(["other"]).collect::<Vec<_>>().join("/")
        })
        .collect();
    let (steps, woken) = steps_beside(patterns.into_iter(), &vec!["s"; 200].join("/"));
    assert_eq!(woken, 0);
    assert!(steps <= 1_000 * 201, "{steps} steps, more than all patterns have segments");
}

#[test]
fn a_reader_of_a_group_is_added_and_removed_without_a_lock_of_the_index() {
    let interest = Interest::default();
    let group = interest.register(&filters(&["news", "user/1/*"]));
    let (done, wait) = mpsc::channel();
    let locks = interest.0.lock_all();
    std::thread::spawn(move || {
        group.set_readers(7);
        let lagging = group.fork();
        group.set_readers(6);
        let _ = done.send((group, lagging));
    });
    let moved = wait.recv_timeout(Duration::from_secs(10)).expect("no lock is needed");
    drop(locks);
    assert_eq!(interest.subscribers(&topic("news")), 7);
    drop(moved);
    assert_eq!(interest.subscribers(&topic("news")), 0);
    assert_eq!(interest.0.size(), 0);
}

#[test]
fn a_second_reader_with_the_filters_of_another_only_reads_the_index() {
    let interest = Interest::default();
    let first = interest.register(&filters(&["news", "user/1/*"]));
    let size = interest.0.size();
    let second = interest.register(&filters(&["news", "user/1/*"]));
    assert_eq!(interest.0.size(), size);
    drop(first);
    assert_eq!(interest.0.size(), size);
    assert_eq!(interest.subscribers(&topic("user/1/inbox")), 1);
    drop(second);
    assert_eq!(interest.0.size(), 0);
}

#[test]
fn a_reader_that_does_not_listen_is_counted_and_not_woken() {
    let (interest, consumer) = (Interest::default(), Consumer::new());
    let registration = interest.register(&filters(&["news"]));
    interest.wake(&[record("news", 1)]);
    assert_eq!(interest.subscribers(&topic("news")), 1);
    let listening = registration.listen(consumer.clone(), None);
    assert_eq!(consumer.woken().now_or_never(), None);
    interest.wake(&[record("news", 2)]);
    assert_eq!(consumer.woken().now_or_never(), Some(()));
    interest.wake(&[record("news", 3)]);
    assert_eq!(consumer.woken().now_or_never(), None, "once until it is re-armed");
    assert_eq!(listening.rearm(), Some(Offset::new(2)));
    assert_eq!(listening.rearm(), None);
}

/// A step of the reader or of the committer, each of which is one atomic operation on the window or the index.
#[derive(Clone, Copy, Debug)]
enum Action {
    Listen,
    Read,
    Push,
    Wake,
}

/// Calls `run` with all ways to interleave two sequences.
fn interleave(
    one: &[Action],
    other: &[Action],
    order: &mut Vec<Action>,
    run: &mut impl FnMut(&[Action]),
) {
    if one.is_empty() && other.is_empty() {
        return run(order);
    }
    for (mine, rest, is_one) in [(one, other, true), (other, one, false)] {
        if let Some((first, after)) = mine.split_first() {
            order.push(*first);
            if is_one {
                interleave(after, rest, order, run);
            } else {
                interleave(rest, after, order, run);
            }
            order.pop();
        }
    }
}

#[test]
fn in_every_order_of_reader_and_committer_the_reader_has_the_record_or_is_woken() {
    use Action::{Listen, Push, Read, Wake};

    // The reader re-arms and reads in a loop, while two commits arrive.
    let reader = [Read, Listen, Read, Listen, Read];
    let committer = [Push, Wake, Push, Wake];
    let mut orders = 0;
    interleave(&reader, &committer, &mut Vec::new(), &mut |order| {
        orders += 1;
        let (interest, window) = (Interest::default(), LiveWindow::new(Offset::ZERO, 1 << 20));
        let (consumer, wanted) = (Consumer::new(), filters(&["news"]));
        let registration = interest.register(&wanted);
        let mut listening = None::<Listening>;
        let (mut position, mut tail) = (Offset::ZERO, 0);
        for action in order {
            match action {
                Listen => match &listening {
                    Some(listening) => drop(listening.rearm()),
                    None => listening = Some(registration.listen(consumer.clone(), Some(0))),
                },
                Read => {
                    let page = window.read(&wanted, position, Budget::default());
                    position = page.expect("the window has everything").0.through;
                }
                Push => {
                    tail += 1;
                    window.push(&[record("news", tail)]);
                }
                Wake => drop(interest.wake(&[record("news", tail)])),
            }
        }
        let is_woken = !woken(&consumer).is_empty();
        let has_all = position == Offset::new(tail);
        assert!(is_woken || has_all, "{order:?}: at {position} and not woken");
    });
    assert_eq!(orders, 126);
}
