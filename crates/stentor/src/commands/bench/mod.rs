//! `stentor bench`: a load generator for any server of Server-Sent Events.
//!
//! The way through the files: `args` -> `plan` -> `load`, whose poll drives `readers` and `publishers`,
//! each on a `socket` that may speak `tls`; bytes become parts in `response`, events in `stream`, and are
//! known again by `mark`; `ledger` judges them, `book` notes what is seen and `recorder` when; `report`
//! makes of it what is told.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are rounded when they are printed; numbers of readers and events are bounded"
)]

mod args;
mod book;
mod clock;
mod endpoint;
mod figures;
mod ledger;
mod load;
mod mark;
mod meter;
mod pace;
mod plan;
mod problems;
mod process;
mod progress;
mod publishers;
mod readers;
mod recorder;
mod report;
mod response;
mod socket;
mod stream;
mod template;
mod tls;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

pub(crate) use self::args::BenchArgs;
use self::clock::Nanos;
use self::load::{Load, Span};
use self::meter::Sample;
use self::plan::{Plan, Task};
use self::process::Family;
use self::recorder::Recorder;
use self::report::{Connected, Report, Setting};
use crate::output::{print_line, print_message};

/// Measured, and something was lost, doubled or out of order.
const FAULTY: u8 = 3;

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    pace::be_punctual();
    let plan = Plan::new(args)?;
    let server = plan.pid.map(|pid| {
        Family::of(pid)
            .with_context(|| format!("there is no process {pid}, or no /proc to look it up"))
    });
    let mut load = Load::new(plan, server.transpose()?)?;
    let report = measure(&mut load, Setting::new(args))?;
    if let Some(path) = &args.html {
        let page = report::page(&report);
        std::fs::write(path, page)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if args.json {
        print_line(&serde_json::to_string_pretty(&report)?)?;
    } else {
        print_line(report::table(&report).trim_end())?;
    }
    if let Some(why) = report.why_not_measured() {
        print_message(format_args!("{why}"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(if report.is_faulty() { FAULTY.into() } else { ExitCode::SUCCESS })
}

/// Connects, warms up, and measures.
fn measure(load: &mut Load, setting: Setting) -> anyhow::Result<Report> {
    let look = |load: &Load| load.server.as_ref().map(Family::memory);
    let (before, kernel_before) = (look(load), process::kernel_memory());
    let connecting = load.connect()?;
    let connected = load.readers.connected();
    if connected == 0 && load.plan.readers > 0 && !load.is_interrupted() {
        load.end_progress();
        let problems = std::mem::take(&mut load.book.problems).into_list();
        bail!("no reader could connect{}", report::in_words(&problems));
    }
    load.settle()?;
    let connected = Connected {
        readers: connected,
        seconds: connecting.seconds,
        memory: before.zip(look(load)),
        kernel: kernel_before.zip(process::kernel_memory()),
    };
    let (samples, span) = work(load, connecting)?;
    load.end_progress();
    Ok(Report::new(load, setting, &connected, &span, samples))
}

/// What is to be done with the readers that are connected; where that is nothing, connecting was all.
fn work(load: &mut Load, connecting: Span) -> anyhow::Result<(Vec<Sample>, Span)> {
    let length = |span: Duration| span.as_nanos() as Nanos;
    let (span, warm_up) = (load.plan.span, load.plan.warm_up);
    if load.plan.task == Task::Publish && !warm_up.is_zero() {
        let mut recorder = Recorder::new(load, length(warm_up));
        load.publish(warm_up, u32::MAX, &mut recorder)?;
    }
    let mut recorder = Recorder::new(load, length(span));
    let span = match load.plan.task {
        Task::Publish => load.publish(span, load.plan.events, &mut recorder)?,
        Task::Listen => load.listen(&mut recorder)?,
        Task::Churn(connections) => load.churn(connections, &mut recorder)?,
        Task::Rest => connecting,
    };
    Ok((recorder.samples, span))
}
