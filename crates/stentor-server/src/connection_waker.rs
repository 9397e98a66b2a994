//! The waker of an HTTP/1.1 connection. It saves a run of the connection's task for each request with a small body.
//!
//! hyper wakes the task of a connection whenever a service takes a piece of a body, so that hyper reads the next piece.
//! After the last piece there is none, and the task would run for nothing.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

thread_local! {
    /// Set while this thread takes a piece of a body.
    static HELD: Cell<Held> = const { Cell::new(Held::Off) };
}

/// The wake-up that a [`WakeHold`] holds back.
enum Held {
    /// Wake-ups are not held back.
    Off,
    None,
    Wake(Arc<TaskWaker>),
}

/// Makes the waker that a connection is polled with.
#[derive(Debug, Default)]
pub(crate) struct ConnectionWaker {
    /// The last waker, with the waker of the task that it stands for.
    last: Option<(Waker, Waker)>,
}

impl ConnectionWaker {
    /// Returns a waker for the task of `cx`: the last one, if the task is still the same.
    pub(crate) fn of(&mut self, cx: &Context<'_>) -> &Waker {
        let last = self.last.take().filter(|(_, task)| task.will_wake(cx.waker()));
        let (waker, _) = self.last.insert(last.unwrap_or_else(|| {
            let task = cx.waker().clone();
            (Waker::from(Arc::new(TaskWaker(task.clone()))), task)
        }));
        waker
    }
}

struct TaskWaker(Waker);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        match HELD.replace(Held::Off) {
            Held::Off => self.0.wake_by_ref(),
            Held::None => HELD.set(Held::Wake(self)),
            Held::Wake(first) => {
                HELD.set(Held::Wake(first));
                self.0.wake_by_ref();
            }
        }
    }
}

/// Holds back the first wake-up of a connection by this thread. Dropping it passes the wake-up on.
pub(crate) struct WakeHold(());

impl WakeHold {
    pub(crate) fn begin() -> WakeHold {
        HELD.set(Held::None);
        WakeHold(())
    }

    /// Drops the wake-up.
    pub(crate) fn discard(self) {
        HELD.set(Held::Off);
        drop(self);
    }
}

impl Drop for WakeHold {
    fn drop(&mut self) {
        if let Held::Wake(waker) = HELD.replace(Held::Off) {
            waker.0.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the waker of a connection, and a function that tells how often its task was woken.
    fn connection() -> (Waker, impl Fn() -> usize) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let task = Waker::from(Arc::clone(&count));
        let waker = ConnectionWaker::default().of(&Context::from_waker(&task)).clone();
        (waker, move || count.0.load(Ordering::Relaxed))
    }

    #[test]
    fn a_wake_up_that_is_held_back_is_passed_on_or_dropped() {
        let (waker, woken) = connection();
        waker.wake_by_ref();
        assert_eq!(woken(), 1);
        let hold = WakeHold::begin();
        waker.wake_by_ref();
        assert_eq!(woken(), 1);
        drop(hold);
        assert_eq!(woken(), 2);
        let hold = WakeHold::begin();
        waker.wake_by_ref();
        hold.discard();
        assert_eq!(woken(), 2);
        waker.wake_by_ref();
        assert_eq!(woken(), 3);
    }

    #[test]
    fn wake_ups_by_other_threads_are_not_held_back() {
        let (waker, woken) = connection();
        let hold = WakeHold::begin();
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert_eq!(woken(), 1);
        hold.discard();
    }

    #[test]
    fn a_task_keeps_its_waker() {
        let (count, mut connection) =
            (Arc::new(Count(AtomicUsize::new(0))), ConnectionWaker::default());
        let task = Waker::from(count);
        let cx = Context::from_waker(&task);
        let first = connection.of(&cx).clone();
        assert!(connection.of(&cx).will_wake(&first));
        assert!(!connection.of(&Context::from_waker(Waker::noop())).will_wake(&first));
    }
}
