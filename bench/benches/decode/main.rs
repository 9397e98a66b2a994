//! How fast streams are decoded, by Stentor and by others in the same run.
//!
//! All contestants take turns within each round. Speeds are those of the best round, for whatever else
//! the machine does only slows them down; beside their ratio stands the median of the rounds' ratios.
#![allow(clippy::cast_precision_loss, reason = "figures are rounded when they are printed")]

mod contestants;
mod streams;

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use crate::contestants::{CONTESTANTS, Contestant};
use crate::streams::Stream;

/// Rounds for a line of the first table, after a turn to warm up.
const ROUNDS: usize = 200;
/// Rounds for one large event.
const EVENT_ROUNDS: usize = 25;
/// Of the rounds a contestant has so many that takes far longer than its turn.
const SLOW_ROUNDS: usize = 5;
/// A contestant decodes a stream as often as this allows in a round, at least once: short, so that
/// the contestants of a round meet the same machine.
const TURN: Duration = Duration::from_millis(1);
/// What one event of a size may cost a contestant before its larger ones are left out.
const PATIENCE: Duration = Duration::from_secs(4);
/// Like a segment of TCP over Ethernet.
const PIECE: usize = 1460;

fn main() {
    println!("- machine: {}\n", machine());
    println!("What each yields:\n");
    for contestant in &CONTESTANTS {
        println!("- `{}`: {}", contestant.name, contestant.yields);
    }
    let heads = CONTESTANTS.map(|contestant| format!(" {} |", contestant.name)).concat();
    let rules = " ---: |".repeat(CONTESTANTS.len());
    println!("\nMB/s (million events/s), and Stentor's of sse-core's, best / median:\n");
    println!("| stream | cut |{heads} ratio |\n| --- | --- |{rules} ---: |");
    for stream in streams::all() {
        for (cut, size) in [("whole", usize::MAX), ("1,460 bytes", PIECE)] {
            println!("| {} | {cut} |{}", stream.name, throughput(&stream, size));
        }
    }
    println!("\nOne event in pieces of 1,460 bytes, milliseconds:\n");
    println!("| MiB |{heads}\n| ---: |{rules}");
    let mut patient = CONTESTANTS.map(|_| true);
    for kib in [1024, 2560, 5120, 10_240, 20_480] {
        let stream = streams::one_event(kib * 1024);
        println!("| {} |{}", kib as f64 / 1024.0, one_event(&stream, &mut patient));
    }
}

/// Cells of a line: what each contestant does, and how Stentor compares with the second.
fn throughput(stream: &Stream, piece: usize) -> String {
    let pieces: Vec<&[u8]> = stream.bytes.chunks(piece).collect();
    let turns = CONTESTANTS.map(|contestant| {
        let started = Instant::now();
        assert_eq!((contestant.decode)(&pieces), stream.decoded, "{} is wrong", contestant.name);
        TURN.div_duration_f64(started.elapsed()).ceil()
    });
    let mut rates = CONTESTANTS.map(|_| Vec::new());
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        for ((contestant, turns), rates) in CONTESTANTS.iter().zip(turns).zip(&mut rates) {
            let is_slow = rates.last().is_some_and(|rate| TURN.as_secs_f64() * rate < 0.1);
            if round < SLOW_ROUNDS || !is_slow {
                rates.push(turns / time(contestant, &pieces, turns).as_secs_f64());
            }
        }
        if let [Some(ours), Some(theirs), ..] = rates.each_ref().map(|rates| rates.last()) {
            ratios.push(ours / theirs);
        }
    }
    let best = rates.map(|rates| rates.into_iter().fold(0.0, f64::max));
    let cell = |rate: f64| {
        let bytes = rate * stream.bytes.len() as f64 / 1e6;
        let events = rate * stream.decoded.events as f64 / 1e6;
        format!(" {bytes:.0} ({events:.2}) |")
    };
    let [ours, theirs, ..] = best;
    format!("{} {:.2} / {:.2} |", best.map(cell).concat(), ours / theirs, median(ratios))
}

fn one_event(stream: &Stream, patient: &mut [bool]) -> String {
    let pieces: Vec<&[u8]> = stream.bytes.chunks(PIECE).collect();
    let mut times = CONTESTANTS.map(|_| Vec::new());
    for _ in 0..EVENT_ROUNDS {
        for ((contestant, patient), times) in CONTESTANTS.iter().zip(&mut *patient).zip(&mut times)
        {
            if *patient {
                let time = time(contestant, &pieces, 1.0);
                *patient = time < PATIENCE;
                times.push(time.as_secs_f64() * 1e3);
            }
        }
    }
    let cell = |times: Vec<f64>| match times.len() {
        0 => " – |".to_owned(),
        _ => format!(" {:.2} |", times.into_iter().fold(f64::MAX, f64::min)),
    };
    times.map(cell).concat()
}

fn time(contestant: &Contestant, pieces: &[&[u8]], turns: f64) -> Duration {
    let started = Instant::now();
    let mut turn = 0.0;
    while turn < turns {
        std::hint::black_box((contestant.decode)(std::hint::black_box(pieces)));
        turn += 1.0;
    }
    started.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The processor, and how busy the machine was with other things.
fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{}, load average {load} at the start", model.map_or("unknown", |(_, model)| model))
}
