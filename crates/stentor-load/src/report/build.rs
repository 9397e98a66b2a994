//! Builds the report from the counters of a run.

use crate::phase::Phase;
use crate::plan::{Plan, Task};
use crate::process::Memory;
use crate::report::bottleneck;
use crate::report::data::{
    Arrivals, Churn, Connect, Delivery, Publish, Report, Server, Setting, Slow, Storms, Unit,
};
use crate::sampler::Sample;
use crate::stats::Stats;

/// Values from which a report is built.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) stats: &'a Stats,
    pub(crate) connected: &'a Connected,
    /// The measured phase.
    pub(crate) phase: &'a Phase,
    /// Memory of the server at the end.
    pub(crate) server_memory: Option<Memory>,
    pub(crate) was_interrupted: bool,
}

/// Result of connecting the subscribers.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) subscribers: usize,
    /// Number of HTTP/2 connections; `None` with HTTP/1.1.
    pub(crate) connections: Option<usize>,
    pub(crate) seconds: f64,
    /// Memory of the server before and after.
    pub(crate) memory: Option<(Memory, Memory)>,
    /// Memory of the kernel, in bytes, before and after.
    pub(crate) kernel: Option<(u64, u64)>,
}

pub(crate) fn build(setting: Setting, inputs: &Inputs<'_>, samples: Vec<Sample>) -> Report {
    let Inputs { plan, stats, connected, phase, .. } = *inputs;
    let publishes = plan.publish.is_some();
    let (unit, units) = match plan.task {
        Task::Churn(_) => (Unit::Connect, stats.churn.count()),
        Task::Publish if plan.subscribers == 0 => (Unit::Publish, stats.acknowledged.count()),
        Task::Publish => (Unit::Delivery, stats.tracker.counts().received),
        Task::Listen => (Unit::Delivery, stats.events),
        Task::ConnectOnly => (Unit::Connect, connected.subscribers as u64),
    };
    let churns = matches!(plan.task, Task::Churn(_));
    let listens = plan.task == Task::Listen;
    Report {
        setting,
        connect: connect(stats, connected),
        publish: publishes.then(|| publish(stats, phase)),
        delivery: publishes.then(|| delivery(stats, phase)),
        arrivals: listens.then(|| arrivals(stats, phase, connected.subscribers)),
        churn: churns.then(|| churn(stats, phase)),
        storms: plan.storm.map(|_| storms(stats)),
        slow: (plan.slow > 0)
            .then_some(Slow { readers: plan.slow, closed_by_server: stats.slow_cuts }),
        server: server(inputs, units),
        load: bottleneck::load(phase, stats, units),
        unit,
        problems: stats.problems.list().to_vec(),
        was_interrupted: inputs.was_interrupted,
        samples,
    }
}

fn connect(stats: &Stats, connected: &Connected) -> Connect {
    let count = connected.subscribers;
    let each = |growth: f64| (count > 0).then(|| growth / count as f64);
    Connect {
        connected: count,
        seconds: connected.seconds,
        per_second: count as f64 / connected.seconds,
        head: stats.connect.summary(),
        cut: stats.cuts,
        gave_up: stats.gave_up,
        http2_connections: connected.connections,
        unreachable: stats.unreachable.clone(),
        kernel_memory_per_reader_bytes: connected
            .kernel
            .and_then(|(before, after)| each(after as f64 - before as f64)),
    }
}

fn publish(stats: &Stats, phase: &Phase) -> Publish {
    let acknowledged = stats.acknowledged.count();
    Publish {
        events: stats.tracker.counts().published,
        acknowledged,
        refused: stats.refused,
        unsent: phase.unsent.events,
        seconds: phase.publish_seconds,
        per_second: acknowledged as f64 / phase.publish_seconds,
        acknowledgement: stats.acknowledged.summary(),
        send_lag: stats.send_delay.summary(),
    }
}

fn delivery(stats: &Stats, phase: &Phase) -> Delivery {
    let counts = stats.tracker.counts();
    Delivery {
        expected: counts.expected,
        received: counts.received,
        lost: counts.lost(),
        duplicated: counts.duplicated,
        out_of_order: counts.out_of_order,
        misrouted: counts.misrouted,
        foreign: counts.foreign,
        seconds: phase.seconds,
        per_second: counts.received as f64 / phase.seconds,
        bytes_per_second: stats.bytes as f64 / phase.seconds,
        latency: stats.sampled.summary(),
        latency_to_last: stats.to_last.summary(),
    }
}

fn arrivals(stats: &Stats, phase: &Phase, connected: usize) -> Arrivals {
    let per_second = stats.events as f64 / phase.seconds;
    Arrivals {
        events: stats.events,
        seconds: phase.seconds,
        per_second,
        per_second_and_reader: per_second / connected.max(1) as f64,
        bytes_per_second: stats.bytes as f64 / phase.seconds,
        mean_bytes: stats.event_bytes as f64 / stats.events.max(1) as f64,
        gap: stats.sampled.summary(),
    }
}

fn churn(stats: &Stats, phase: &Phase) -> Churn {
    Churn {
        connections: stats.churn.count(),
        failed: stats.churn_failed,
        seconds: phase.seconds,
        per_second: stats.churn.count() as f64 / phase.seconds,
        head: stats.churn.summary(),
    }
}

fn storms(stats: &Stats) -> Storms {
    Storms {
        count: stats.storms.count,
        dropped: stats.storms.dropped,
        returned: stats.storms.returned,
        head: stats.storms.reconnect.summary(),
        all_back: stats.storms.all_back.summary(),
    }
}

fn server(inputs: &Inputs<'_>, units: u64) -> Option<Server> {
    let Inputs { connected, phase, .. } = *inputs;
    let cpu = phase.server_cpu?;
    // Proportional memory counts shared memory once. Resident memory is used where it is not known.
    let bytes = |memory: Memory| memory.proportional.unwrap_or(memory.resident);
    let memory = connected.memory;
    let growth = memory.map(|(before, after)| bytes(after) as f64 - bytes(before) as f64);
    Some(Server {
        cpu_user_seconds: cpu.user,
        cpu_system_seconds: cpu.system,
        cores: cpu.total() / phase.seconds,
        cpu_us_per_unit: bottleneck::per_unit(cpu.total(), units),
        memory_before: memory.map(|(before, _)| before),
        memory_connected: memory.map(|(_, after)| after),
        memory_per_reader_bytes: growth.map(|growth| growth / connected.subscribers.max(1) as f64),
        memory_per_connection_bytes: growth
            .zip(connected.connections)
            .map(|(growth, connections)| growth / connections.max(1) as f64),
        memory_end_bytes: inputs.server_memory.map(bytes).unwrap_or_default(),
    })
}
