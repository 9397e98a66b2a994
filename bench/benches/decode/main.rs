//! Benchmark of event stream decoders: Stentor and three others in one run.
//!
//! All decoders take turns within each round. The reported speed is that of the best round, because other work on the
//! machine only slows a decoder down. The ratio of the best rounds is reported with the median of all ratios.
#![allow(clippy::cast_precision_loss, reason = "figures are rounded for printing")]

mod decoders;
mod streams;

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use crate::decoders::{Candidate, DECODERS};
use crate::streams::Stream;

/// Number of rounds for a line of the first table, after one turn to warm up.
const ROUNDS: usize = 200;
/// Number of rounds for one large event.
const EVENT_ROUNDS: usize = 25;
/// Number of rounds for a decoder that takes far longer than its turn.
const SLOW_ROUNDS: usize = 5;
/// Time for one decoder in one round. It decodes the stream as often as fits, at least once. The time is short, so
/// that all decoders of a round run under the same conditions.
const TURN: Duration = Duration::from_millis(1);
/// A decoder that takes longer than this for one event is not measured with larger ones.
const EVENT_TIME_MAX: Duration = Duration::from_secs(4);
/// Size of a piece, in bytes: a TCP segment over Ethernet.
const PIECE: usize = 1460;

fn main() {
    println!("- machine: {}\n", machine());
    println!("Output of each decoder:\n");
    for candidate in &DECODERS {
        println!("- `{}`: {}", candidate.name, candidate.output);
    }
    let heads = DECODERS.map(|candidate| format!(" {} |", candidate.name)).concat();
    let rules = " ---: |".repeat(DECODERS.len());
    println!("\nMB/s (million events/s); ratio of stentor-sse to sse-core, best round / median:\n");
    println!("| stream | pieces |{heads} ratio |\n| --- | --- |{rules} ---: |");
    for stream in streams::all() {
        for (cut, size) in [("whole", usize::MAX), ("1,460 bytes", PIECE)] {
            println!("| {} | {cut} |{}", stream.name, throughput(&stream, size));
        }
    }
    println!("\nOne event in pieces of 1,460 bytes, milliseconds:\n");
    println!("| MiB |{heads}\n| ---: |{rules}");
    let mut measured = DECODERS.map(|_| true);
    for kib in [1024, 2560, 5120, 10_240, 20_480] {
        let stream = streams::one_event(kib * 1024);
        println!("| {} |{}", kib as f64 / 1024.0, one_event(&stream, &mut measured));
    }
}

/// Table cells of one stream: the speed of each decoder, and the ratio of the first to the second.
fn throughput(stream: &Stream, piece: usize) -> String {
    let pieces: Vec<&[u8]> = stream.bytes.chunks(piece).collect();
    let turns = DECODERS.map(|candidate| {
        let started = Instant::now();
        assert_eq!(
            (candidate.decode)(&pieces),
            stream.decoded,
            "{} decodes the stream differently",
            candidate.name
        );
        TURN.div_duration_f64(started.elapsed()).ceil()
    });
    let mut rates = DECODERS.map(|_| Vec::new());
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        for ((candidate, turns), rates) in DECODERS.iter().zip(turns).zip(&mut rates) {
            let is_slow = rates.last().is_some_and(|rate| TURN.as_secs_f64() * rate < 0.1);
            if round < SLOW_ROUNDS || !is_slow {
                rates.push(turns / time(candidate, &pieces, turns).as_secs_f64());
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

fn one_event(stream: &Stream, measured: &mut [bool]) -> String {
    let pieces: Vec<&[u8]> = stream.bytes.chunks(PIECE).collect();
    let mut times = DECODERS.map(|_| Vec::new());
    for _ in 0..EVENT_ROUNDS {
        for ((candidate, measured), times) in DECODERS.iter().zip(&mut *measured).zip(&mut times) {
            if *measured {
                let time = time(candidate, &pieces, 1.0);
                *measured = time < EVENT_TIME_MAX;
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

fn time(candidate: &Candidate, pieces: &[&[u8]], turns: f64) -> Duration {
    let started = Instant::now();
    let mut turn = 0.0;
    while turn < turns {
        std::hint::black_box((candidate.decode)(std::hint::black_box(pieces)));
        turn += 1.0;
    }
    started.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The processor model and the load average at the start.
fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{}, load average {load} at the start", model.map_or("unknown", |(_, model)| model))
}
