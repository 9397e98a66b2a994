//! Readers with much output do not delay the others.

use stentor_hub::{Hub, Start};

use crate::stage::Stage;

const ROOM: usize = 1 << 30;

#[test]
fn a_reader_that_catches_up_does_not_delay_the_others() {
    let mut stage = Stage::new(Hub::memory());
    for _ in 0..50_000 {
        stage.publish("news", &"x".repeat(100));
    }
    let live = stage.join("other", Start::Now, ROOM);
    stage.settle();
    let late = stage.join("news", Start::Earliest, ROOM);
    stage.turn();
    assert!(late.events().len() < 50_000, "one turn does not write everything");
    for number in 1..=5 {
        stage.publish("other", "x");
        stage.turn();
        assert_eq!(live.events().len(), number, "the next turn writes it");
    }
    stage.settle();
    assert_eq!(late.events().len(), 50_000);
}

#[test]
fn large_events_to_many_readers_do_not_delay_the_others() {
    let mut stage = Stage::new(Hub::memory());
    let many: Vec<_> = (0..300).map(|_| stage.join("large", Start::Now, ROOM)).collect();
    let live = stage.join("other", Start::Now, ROOM);
    stage.settle();
    stage.publish("large", &"x".repeat(1 << 20));
    stage.turn();
    assert!(stage.shard.has_work(), "one turn does not write everything");
    stage.publish("other", "x");
    stage.turn();
    stage.turn();
    assert_eq!(
        live.events(),
        ["x"],
        "a group waits for one turn of another, not for all of its output"
    );
    stage.settle();
    assert!(many.iter().all(|client| client.events().len() == 1));
}

#[test]
fn an_event_published_during_a_sweep_is_written_too() {
    let mut stage = Stage::new(Hub::memory());
    let clients: Vec<_> = (0..1_000).map(|_| stage.join("news", Start::Now, ROOM)).collect();
    stage.settle();
    let before = clients[999].has().len();
    stage.publish("news", "1");
    stage.turn();
    stage.publish("news", "2");
    stage.settle();
    for client in &clients {
        assert_eq!(client.events(), ["1", "2"]);
    }
    assert!(clients[999].has().len() > before);
}
