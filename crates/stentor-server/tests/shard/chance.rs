//! Random scenarios: each reader gets each event once, with any room in its socket.

use proptest::prelude::*;
use stentor_hub::{Hub, MemoryStorage, Start};

use crate::stage::{Client, Stage};

#[derive(Clone, Debug)]
enum Step {
    Publish { topic: usize, bytes: usize },
    Join { filter: usize, room: usize },
    Room { reader: usize, room: usize },
    Turn,
    Leave { reader: usize },
}

const TOPICS: [&str; 3] = ["t/a", "t/b", "u/c"];
const FILTERS: [&str; 4] = ["t/a", "t/b", "t/*", "u/c"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize, prop_oneof![0..40_usize, 0..3_000_usize])
            .prop_map(|(topic, bytes)| Step::Publish { topic, bytes }),
        2 => (0..4_usize, 0..5_000_usize).prop_map(|(filter, room)| Step::Join { filter, room }),
        4 => (any::<usize>(), prop_oneof![0..20_usize, 0..6_000_usize])
            .prop_map(|(reader, room)| Step::Room { reader, room }),
        4 => Just(Step::Turn),
        1 => any::<usize>().prop_map(|reader| Step::Leave { reader }),
    ]
}

struct Reader {
    client: Client,
    filter: &'static str,
    expected: Vec<String>,
    left: bool,
}

fn matches(filter: &str, topic: &str) -> bool {
    filter == topic || (filter == "t/*" && topic.starts_with("t/"))
}

fn play(steps: &[Step], window_bytes: usize) {
    let hub = Hub::with_window(MemoryStorage::new(), window_bytes);
    let mut stage = Stage::new(hub);
    let mut readers: Vec<Reader> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Publish { topic, bytes } => {
                let topic = TOPICS[*topic];
                let data = format!("{number} {}", "x".repeat(*bytes));
                stage.publish(topic, &data);
                let concerned = readers.iter_mut().filter(|r| matches(r.filter, topic));
                concerned.for_each(|reader| reader.expected.push(data.clone()));
            }
            Step::Join { filter, room } => {
                let filter = FILTERS[*filter];
                let client = stage.join(filter, Start::Now, *room);
                readers.push(Reader { client, filter, expected: Vec::new(), left: false });
            }
            Step::Room { reader, room } if !readers.is_empty() => {
                let index = reader % readers.len();
                if !readers[index].left {
                    stage.make_room(&readers[index].client, *room);
                }
            }
            Step::Leave { reader } if !readers.is_empty() => {
                let index = reader % readers.len();
                readers[index].left = true;
                stage.receive(&readers[index].client, None);
            }
            Step::Room { .. } | Step::Leave { .. } => {}
            Step::Turn => stage.turn(),
        }
    }
    stage.settle();
    for reader in readers.iter().filter(|reader| !reader.left) {
        while stage.shard.has_work() || reader.client.events().len() < reader.expected.len() {
            stage.make_room(&reader.client, 1 << 30);
            stage.settle();
        }
        assert_eq!(reader.client.events(), reader.expected, "reader of {}", reader.filter);
        assert!(!reader.client.has().contains("stentor.gap"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_reader_gets_each_event_once_and_in_order(
        steps in proptest::collection::vec(step(), 1..120),
        window in prop_oneof![Just(Hub::WINDOW_BYTES), Just(8_000_usize)],
    ) {
        play(&steps, window);
    }
}
