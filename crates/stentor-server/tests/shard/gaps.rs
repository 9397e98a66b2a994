//! Retention removes events that some readers do not have yet. Those readers get a gap; the others do
//! not.

use proptest::prelude::*;
use stentor_hub::{Hub, MemoryStorage, Start};

use crate::stage::{Client, Stage};

/// A log of about twenty small events, with the newest few in the live window.
fn small_hub() -> Hub {
    Hub::with_window(MemoryStorage::with_bytes(6_000), 1_500)
}

#[test]
fn a_reader_that_stopped_before_a_gap_of_its_group_gets_it_too() {
    const ROOM: usize = 1 << 20;
    let mut stage = Stage::new(small_hub());
    let quick: Vec<_> = (0..300).map(|_| stage.join("news", Start::Now, ROOM)).collect();
    stage.settle();
    let stuck = stage.join("news", Start::Now, ROOM);
    stage.settle();
    stage.make_room(&stuck, 0);
    stage.publish("news", "first");
    // The sweep starts and does not reach the last reader.
    stage.turn();
    for number in 0..100 {
        stage.publish("news", &number.to_string());
    }
    stage.settle();
    assert!(quick.iter().all(|client| client.events_and_gaps().contains(&"gap".to_owned())));
    stage.make_room(&stuck, ROOM);
    stage.settle();
    let received = stuck.events_and_gaps();
    assert_eq!(received.first().map(String::as_str), Some("gap"), "{received:?}");
    assert_eq!(received.iter().filter(|item| *item == "gap").count(), 1, "{received:?}");
    assert_eq!(received.last().map(String::as_str), Some("99"));
}

#[derive(Clone, Debug)]
enum Step {
    Publish { topic: usize, times: usize, bytes: usize },
    Join { filter: usize, room: usize },
    Room { reader: usize, room: usize },
    Turn,
}

const TOPICS: [&str; 3] = ["t/a", "t/b", "u/c"];
const FILTERS: [&str; 3] = ["t/a", "t/*", "u/c"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize, 1..30_usize, prop_oneof![0..40_usize, 0..1_000_usize])
            .prop_map(|(topic, times, bytes)| Step::Publish { topic, times, bytes }),
        3 => (0..3_usize, 0..1_000_usize).prop_map(|(filter, room)| Step::Join { filter, room }),
        4 => (any::<usize>(), prop_oneof![0..20_usize, 0..3_000_usize])
            .prop_map(|(reader, room)| Step::Room { reader, room }),
        5 => Just(Step::Turn),
    ]
}

/// A reader that reconnects with its last id when its stream is interrupted.
struct Reader {
    client: Client,
    filter: &'static str,
    /// The events published since it subscribed.
    expected: Vec<String>,
    /// The events and gaps of its earlier connections.
    received: Vec<String>,
}

impl Reader {
    fn reconnect_if_interrupted(&mut self, stage: &mut Stage, room: usize) -> bool {
        let was_interrupted = self.client.has_left();
        if was_interrupted {
            self.received.append(&mut self.client.events_and_gaps());
            let start = Start::Cursor(self.client.last_id());
            self.client = stage.join(self.filter, start, room);
        }
        was_interrupted
    }

    /// Checks the events and gaps it received against the published events.
    fn check(&self) {
        let received = [self.received.clone(), self.client.events_and_gaps()].concat();
        let (mut next, mut gap) = (0, false);
        for item in &received {
            if item == "gap" {
                gap = true;
                continue;
            }
            let missed = self.expected[next..].iter().position(|event| event == item);
            // Each event arrives once and in order.
            let missed = missed.unwrap();
            assert_eq!(missed > 0, gap, "before {item:.9} of {}: {missed} missed", self.filter);
            (next, gap) = (next + missed + 1, false);
        }
        assert_eq!(next < self.expected.len(), gap, "at the end of {}", self.filter);
    }
}

fn play(steps: &[Step], crowd: usize) {
    let mut stage = Stage::new(small_hub());
    // With a crowd, a sweep takes several turns.
    let _crowd: Vec<_> = (0..crowd).map(|_| stage.join("t/*", Start::Now, 1 << 30)).collect();
    stage.settle();
    let mut readers: Vec<Reader> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Publish { topic, times, bytes } => {
                let topic = TOPICS[*topic];
                for time in 0..*times {
                    let data = format!("{number}-{time} {}", "x".repeat(*bytes));
                    stage.publish(topic, &data);
                    for reader in readers.iter_mut().filter(|r| matches(r.filter, topic)) {
                        reader.expected.push(data.clone());
                    }
                }
            }
            Step::Join { filter, room } => {
                let filter = FILTERS[*filter];
                let client = stage.join(filter, Start::Now, 500 + room);
                // From now on the reader knows its position.
                stage.turn();
                readers.push(Reader { client, filter, expected: Vec::new(), received: Vec::new() });
            }
            Step::Room { reader, room } if !readers.is_empty() => {
                let index = reader % readers.len();
                stage.make_room(&readers[index].client, *room);
            }
            Step::Room { .. } => {}
            Step::Turn => stage.turn(),
        }
    }
    for reader in &mut readers {
        loop {
            stage.make_room(&reader.client, 1 << 30);
            stage.settle();
            if !reader.reconnect_if_interrupted(&mut stage, 1 << 30) {
                break;
            }
        }
        reader.check();
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    filter == topic || (filter == "t/*" && topic.starts_with("t/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_loss_is_reported_to_the_reader_and_nothing_else_is(
        steps in proptest::collection::vec(step(), 1..120),
        crowd in prop_oneof![Just(0_usize), Just(300_usize)],
    ) {
        play(&steps, crowd);
    }
}
