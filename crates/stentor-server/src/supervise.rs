//! Supervision of background tasks: a task that ends is logged, counted and started again.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use stentor_hub::Retention;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::context::Stentor;

/// Pause before the first restart. It doubles with each further restart, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A task that ran for this long counts as healthy: its next restart is the first one again.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// The number of times that a supervisor starts a task again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restarts {
    /// No limit. For tasks without which the server is still useful.
    Unlimited,
    /// At most this many in a row, each within a minute of the previous start. For tasks without which the process
    /// should exit.
    AtMost(u32),
}

/// A supervised task ended more often than [`Restarts::AtMost`] allows. The process should then exit with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task {task:?} ended {ends} times in a row: {reason}")]
pub struct TaskFailed {
    /// The name of the task.
    pub task: &'static str,
    /// The number of ends in a row.
    pub ends: u32,
    /// The reason of the last end: a panic message, or the value that the task returned.
    pub reason: String,
}

impl Stentor {
    /// Runs a task that must not end, and starts it again when it ends. Run this future as a task beside the server;
    /// dropping it aborts the supervised task.
    ///
    /// `start` creates the task. Each end (a panic, also of `start`, or a returned value) is logged as an error and
    /// counted in the metric `stentor_task_restarts_total` with the label `task`. The pause before a restart grows
    /// from 100 ms to 30 s, and is short again after the task ran for a minute.
    ///
    /// Returns only if the task ends more often than `restarts` allows. With [`Restarts::Unlimited`] it never returns.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use stentor_hub::Hub;
    /// use stentor_server::{Restarts, Stentor};
    ///
    /// let stentor = Stentor::new(Hub::memory());
    /// let failed = stentor.supervise("poll", Restarts::AtMost(0), || async { "no connection" });
    /// assert_eq!(failed.await.task, "poll");
    /// # }
    /// ```
    pub fn supervise<T>(
        &self,
        task: &'static str,
        restarts: Restarts,
        mut start: impl FnMut() -> T + Send + 'static,
    ) -> impl Future<Output = TaskFailed> + Send + 'static
    where
        T: Future<Output: Debug + Send + 'static> + Send + 'static,
    {
        let metrics = self.metrics().clone();
        async move {
            let mut ends = 0;
            loop {
                let started = Instant::now();
                // A panic of `start` counts as one of the task.
                let created = catch_unwind(AssertUnwindSafe(&mut start));
                // A task of its own, so that a panic anywhere in it, also in a destructor, ends only it.
                let running = tokio::spawn(async move {
                    match created {
                        Ok(task) => task.await,
                        Err(panic) => resume_unwind(panic),
                    }
                });
                let reason = match AbortOnDropHandle::new(running).await {
                    Ok(value) => format!("it returned {value:?}"),
                    Err(error) => error.to_string(),
                };
                ends = if started.elapsed() >= HEALTHY_AFTER { 1 } else { ends + 1 };
                if let Restarts::AtMost(most) = restarts
                    && ends > most
                {
                    tracing::error!(task, reason, "a task ended too often");
                    return TaskFailed { task, ends, reason };
                }
                metrics.task_restarts.count(task);
                let pause = pause_after(ends);
                tracing::error!(task, reason, ?pause, "a task ended; starting it again");
                sleep(pause).await;
            }
        }
    }

    /// Enforces `retention` and ends the topics whose lease expires. Never returns: run it as a task beside the
    /// server.
    ///
    /// Both run under [`Stentor::supervise`], as the tasks `retention` and `leases`, and are restarted without limit.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use stentor_hub::{Hub, Retention};
    /// use stentor_server::Stentor;
    ///
    /// let stentor = Stentor::new(Hub::memory());
    /// let background = tokio::spawn(stentor.run_background(Retention::default()));
    /// // Serve `stentor` here.
    /// background.abort();
    /// # }
    /// ```
    pub fn run_background(
        &self,
        retention: Retention,
    ) -> impl Future<Output = ()> + Send + 'static {
        let hub = self.hub().clone();
        let retention = self.supervise("retention", Restarts::Unlimited, move || {
            let (hub, retention) = (hub.clone(), retention.clone());
            async move { hub.enforce_retention(retention).await }
        });
        let hub = self.hub().clone();
        let leases = self.supervise("leases", Restarts::Unlimited, move || {
            let hub = hub.clone();
            async move { hub.watch_leases().await }
        });
        async move {
            tokio::join!(retention, leases);
        }
    }
}

/// The pause after the end number `ends` in a row.
fn pause_after(ends: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(ends.saturating_sub(1));
    PAUSE_MIN.saturating_mul(doubled).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use stentor_hub::Hub;
    use tokio::time::timeout;

    use super::*;

    /// Counts the starts of a task.
    #[derive(Clone, Default)]
    struct Starts(Arc<AtomicU32>);

    impl Starts {
        fn add(&self) -> u32 {
            self.0.fetch_add(1, Ordering::Relaxed) + 1
        }

        fn count(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn restarts(stentor: &Stentor, task: &str) -> u64 {
        let text = stentor.metrics().to_text(stentor.hub());
        let line = format!("stentor_task_restarts_total{{task=\"{task}\"}} ");
        let value = text.lines().find_map(|text| text.strip_prefix(&line));
        value.map_or(0, |value| value.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again_and_counted() {
        let (stentor, starts) = (Stentor::new(Hub::memory()), Starts::default());
        let task = stentor.supervise("t", Restarts::Unlimited, {
            let starts = starts.clone();
            move || {
                let number = starts.add();
                async move {
                    assert!(number >= 3, "a bug");
                    std::future::pending::<()>().await;
                }
            }
        });
        assert!(timeout(Duration::from_hours(1), task).await.is_err());
        assert_eq!(starts.count(), 3);
        assert_eq!(restarts(&stentor, "t"), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_whose_start_panics_is_started_again_and_fails_with_the_reason() {
        let (stentor, starts) = (Stentor::new(Hub::memory()), Starts::default());
        let task = stentor.supervise("t", Restarts::AtMost(2), {
            let starts = starts.clone();
            move || {
                let number = starts.add();
                assert!(number > 3, "a bug in start {number}");
                std::future::ready(())
            }
        });
        let failed = task.await;
        assert_eq!((failed.ends, starts.count(), restarts(&stentor, "t")), (3, 3, 2));
        assert!(failed.reason.contains("a bug in start 3"), "{}", failed.reason);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_between_restarts_grow_up_to_half_a_minute() {
        let (stentor, starts) = (Stentor::new(Hub::memory()), Starts::default());
        let task = stentor.supervise("t", Restarts::Unlimited, {
            let starts = starts.clone();
            move || std::future::ready(starts.add())
        });
        assert!(timeout(Duration::from_hours(1), task).await.is_err());
        // Nine pauses until 30 s are reached, then two starts a minute.
        assert!((118..=130).contains(&starts.count()), "{} starts", starts.count());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_with_a_limit_fails_after_it_with_the_reason() {
        let stentor = Stentor::new(Hub::memory());
        let task = stentor.supervise("t", Restarts::AtMost(2), || async { "gone" });
        let failed = task.await;
        let reason = "it returned \"gone\"".to_owned();
        assert_eq!(failed, TaskFailed { task: "t", ends: 3, reason });
        assert_eq!(restarts(&stentor, "t"), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_far_apart_do_not_add_up() {
        let (stentor, starts) = (Stentor::new(Hub::memory()), Starts::default());
        let task = stentor.supervise("t", Restarts::AtMost(1), {
            let starts = starts.clone();
            move || {
                starts.add();
                sleep(HEALTHY_AFTER)
            }
        });
        assert!(timeout(Duration::from_hours(1), task).await.is_err());
        assert!(starts.count() > 50);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_supervisor_aborts_its_task() {
        let stentor = Stentor::new(Hub::memory());
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let mut sender = Some(sender);
        let task = stentor.supervise("t", Restarts::Unlimited, move || {
            let sender = sender.take();
            async move {
                std::future::pending::<()>().await;
                drop(sender);
            }
        });
        assert!(timeout(Duration::from_secs(1), task).await.is_err());
        assert!(receiver.await.is_err(), "the task and its sender are gone");
    }
}
