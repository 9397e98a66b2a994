//! Counts and memory after readers have left, in whatever state they were.

use std::time::Duration;

use proptest::prelude::*;
use stentor_hub::Start;

use crate::stage::{Client, Stage};
use crate::storage::{Fault, hub_with_faults};

#[derive(Clone, Debug)]
enum Step {
    Publish { topic: usize, bytes: usize },
    End { topic: usize },
    Delete { topic: usize },
    Join { filter: usize, earliest: bool, room: usize },
    Room { reader: usize, room: usize },
    Input { reader: usize, bytes: usize },
    Leave { reader: usize },
    Fault { fault: usize },
    Drain,
    Turn,
    Pass { seconds: u64 },
}

const TOPICS: [&str; 4] = ["t/a", "t/b", "u/c", "quiet"];
const FILTERS: [&str; 5] = ["t/a", "t/b", "t/*", "u/c", "quiet"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, prop_oneof![0..40_usize, 0..3_000_usize])
            .prop_map(|(topic, bytes)| Step::Publish { topic, bytes }),
        1 => (0..4_usize).prop_map(|topic| Step::End { topic }),
        1 => (0..4_usize).prop_map(|topic| Step::Delete { topic }),
        6 => (0..5_usize, any::<bool>(), prop_oneof![0..2_000_usize, Just(1 << 20)])
            .prop_map(|(filter, earliest, room)| Step::Join { filter, earliest, room }),
        4 => (any::<usize>(), prop_oneof![0..20_usize, 0..6_000_usize])
            .prop_map(|(reader, room)| Step::Room { reader, room }),
        1 => (any::<usize>(), 0..(2_usize << 20))
            .prop_map(|(reader, bytes)| Step::Input { reader, bytes }),
        3 => any::<usize>().prop_map(|reader| Step::Leave { reader }),
        2 => (0..5_usize).prop_map(|fault| Step::Fault { fault }),
        1 => prop_oneof![9 => Just(Step::Turn), 1 => Just(Step::Drain)],
        6 => Just(Step::Turn),
        2 => (1..20_u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

fn run(stage: &mut Stage, faults: &crate::storage::Faults, clients: &mut Vec<Client>, step: &Step) {
    let client = |index: usize| clients.get(index % clients.len().max(1));
    match step {
        // A topic that has ended refuses the publish.
        Step::Publish { topic, bytes } => stage.try_publish(TOPICS[*topic], &"x".repeat(*bytes)),
        Step::End { topic } => stage.try_end(TOPICS[*topic]),
        Step::Delete { topic } => stage.delete(TOPICS[*topic]),
        Step::Join { filter, earliest, room } => {
            let start = if *earliest { Start::Earliest } else { Start::Now };
            clients.extend(stage.try_join(FILTERS[*filter], start, *room));
        }
        Step::Room { reader, room } => {
            if let Some(client) = client(*reader) {
                stage.make_room(client, *room);
            }
        }
        Step::Input { reader, bytes } => {
            if let Some(client) = client(*reader) {
                stage.receive(client, Some(&vec![b'x'; *bytes]));
            }
        }
        Step::Leave { reader } => {
            if let Some(client) = client(*reader) {
                stage.receive(client, None);
            }
        }
        Step::Fault { fault } => faults.set(match fault {
            0 => Fault::unavailable(),
            1 => Fault::Hang,
            2 => Fault::failed(),
            _ => Fault::None,
        }),
        Step::Drain => {
            let stentor = stage.stentor.clone();
            stage.shard.drain(&stentor);
        }
        Step::Turn => stage.turn(),
        Step::Pass { seconds } => stage.pass(Duration::from_secs(*seconds)),
    }
}

/// Asserts that nothing is counted or held for a reader.
fn assert_nothing_is_left(stage: &Stage) {
    for gauge in ["streams_open", "connections_open", "reader_bytes"] {
        assert_eq!(stage.metric(gauge), 0, "{gauge}");
    }
    for topic in TOPICS {
        let topic = topic.parse().unwrap();
        assert_eq!(stage.stentor.hub().subscribers(&topic), 0, "readers of {topic}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_is_left_of_readers_that_have_left_in_any_state(
        steps in proptest::collection::vec(step(), 1..150),
        recovers in any::<bool>(),
    ) {
        let (hub, faults) = hub_with_faults(8_000);
        let mut stage = Stage::new(hub);
        let mut clients = Vec::new();
        for step in &steps {
            run(&mut stage, &faults, &mut clients, step);
        }
        if recovers {
            faults.set(Fault::None);
        }
        // The shard learns of the end of a connection that it watches.
        stage.settle();
        for client in &clients {
            stage.receive(client, None);
        }
        // A stream whose last bytes have no room waits for 30 s. Groups without readers are removed by the
        // next check for silence.
        stage.pass(Duration::from_secs(40));
        assert!(clients.iter().all(Client::has_left), "a reader whose client has left stays");
        assert_nothing_is_left(&stage);
    }
}
