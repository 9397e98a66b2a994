//! Runs one seed, and judges it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fastrand::Rng;
use stentor_hub::{Body, Record};
use stentor_testing::judge::{
    Content, Index, Log, LoggedRecord, Observation, check_log, check_reader,
};

use crate::counts::Counts;
use crate::options::Options;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::world::World;

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Hash over all actions and bytes.
    pub hash: u64,
    /// Number of actions.
    pub actions: u64,
    /// Faults and outcomes.
    pub counts: Counts,
    /// The broken guarantees. Empty if the run is correct.
    pub violations: Vec<String>,
    /// Text of the last actions, if it was asked for.
    pub trace: String,
}

/// Runs a seed. `trace_lines` is the number of actions whose text is kept.
pub fn run(seed: u64, options: &Options, trace_lines: usize) -> Report {
    let ran = catch_unwind(AssertUnwindSafe(|| run_world(seed, options, trace_lines)));
    ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Report {
            seed,
            hash: 0,
            actions: 0,
            counts: Counts::default(),
            violations: vec![format!("panic: {}", text.unwrap_or_default())],
            trace: String::new(),
        }
    })
}

fn run_world(seed: u64, options: &Options, trace_lines: usize) -> Report {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let trace = match trace_lines {
        0 => Trace::hash_only(),
        lines => Trace::with_lines(lines),
    };
    let failed = |error: std::io::Error| Report {
        seed,
        hash: 0,
        actions: 0,
        counts: Counts::default(),
        violations: vec![format!("the system: {error}")],
        trace: String::new(),
    };
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::new(&mut rng, options.steps);
    if plan.has_bodies() {
        // The driver of a shard needs the event queue of the system, although nothing happens there.
        runtime.enable_io();
    }
    let runtime = match runtime.enable_time().start_paused(true).build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    let result = runtime.block_on(async {
        let mut world = World::new(plan, rng, options, trace)?;
        world.disturb().await?;
        let stuck = world.calm_down().await?;
        Ok((world, stuck))
    });
    match result {
        Ok((world, stuck)) => {
            let _guard = runtime.enter();
            judge(seed, world, stuck)
        }
        Err(error) => failed(error),
    }
}

fn judge(seed: u64, mut world: World, stuck: Option<String>) -> Report {
    let disk_counts = world.disk.take_counts();
    world.counts.merge(&disk_counts);
    let records = world.disk.records();
    let log = Log {
        records: records.iter().filter_map(logged).collect(),
        is_bounded: world.plan().log_bytes.is_some(),
        is_final: true,
        ..Log::default()
    };
    let mut violations = Vec::new();
    if let Some(fault) = world.fault() {
        violations.push(fault.clone());
    } else {
        violations.extend(stuck.map(|stuck| format!("stuck: {stuck}")));
        let of_log = check_log(&world.history, &log);
        violations.extend(of_log.iter().map(|violation| format!("log: {violation}")));
        let index = Index::new(&world.history, &log);
        for reader in &world.readers {
            let found = check_reader(&index, &reader.recorder.observations);
            violations.extend(found.iter().map(ToString::to_string));
        }
        let early = world.leases.ended_early(&records, &world.history, world.origin);
        violations.extend(early.iter().map(|text| format!("ended early: {text}")));
    }
    count_outcomes(&mut world);
    Report {
        seed,
        hash: world.trace.hash(),
        actions: world.trace.actions(),
        counts: world.counts,
        violations,
        trace: world.trace.to_string(),
    }
}

fn logged(record: &Arc<Record>) -> Option<LoggedRecord> {
    let what = match record.body() {
        Body::Event(event) => Content::of(event.data()),
        Body::End { reason } => Content::End(reason.clone()),
        Body::Deleted => return None,
    };
    Some(LoggedRecord::new(&record.cursor().to_string(), record.topic().as_str(), what))
}

fn count_outcomes(world: &mut World) {
    let counts = &mut world.counts;
    for reader in &world.readers {
        let observations = &reader.recorder.observations;
        for seen in &observations.seen {
            match &seen.what {
                Observation::Gap { reason, .. } if reason == "trimmed" => counts.add("gap trimmed"),
                Observation::Gap { .. } => counts.add("gap deleted"),
                Observation::Record(Content::End(reason), _) => match reason.as_str() {
                    "deleted" => counts.add("topic deleted"),
                    stentor_hub::PRODUCER_LOST => counts.add("lease expired"),
                    _ => counts.add("end"),
                },
                Observation::Record(..) => counts.add("event"),
            }
        }
        if observations.finished.is_some() {
            counts.add("204");
        }
        if observations.reconnects > 1 {
            counts.add("client retry");
        }
    }
}
