//! Work on large data, outside of the serving threads.

use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::budget::{NoRoom, WAIT_MAX};
use crate::problem::Problem;

/// Size up to which data is worked on at once, in bytes. Parsing, encoding or hashing it takes less than a millisecond.
pub(crate) const INLINE_BYTES_MAX: usize = 128 << 10;

/// Threads for parsing, encoding and hashing large data: as many as there are cores.
#[derive(Debug)]
pub(crate) struct Pool(Arc<Semaphore>);

impl Default for Pool {
    fn default() -> Pool {
        Pool(Arc::new(Semaphore::new(available_parallelism().map_or(1, Into::into))))
    }
}

impl Pool {
    /// Runs `work` on `bytes` of data. Small work runs at once, the rest on a thread of the pool.
    ///
    /// If the future is dropped, work that has begun goes on and keeps its place.
    ///
    /// # Errors
    ///
    /// 503 if no thread is free within [`WAIT_MAX`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        if bytes <= INLINE_BYTES_MAX {
            return Ok(work());
        }
        let place = timeout(WAIT_MAX, Arc::clone(&self.0).acquire_owned()).await;
        // The semaphore is never closed.
        let Ok(Ok(place)) = place else { return Err(NoRoom.into()) };
        let working = spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        working.await.map_err(|_| Problem::unavailable())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn small_work_runs_at_once_and_large_work_on_another_thread() {
        let pool = Pool::default();
        let here = thread::current().id();
        let small = pool.run(INLINE_BYTES_MAX, || thread::current().id()).now_or_never();
        assert_eq!(small.unwrap().unwrap(), here);
        assert_ne!(pool.run(INLINE_BYTES_MAX + 1, || thread::current().id()).await.unwrap(), here);
    }

    #[tokio::test]
    async fn no_more_work_runs_at_once_than_there_are_cores() {
        let pool = Pool(Arc::new(Semaphore::new(2)));
        let (started, starts) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let work = (0..4).map(|number| {
            let (started, released) = (started.clone(), Arc::clone(&released));
            pool.run(usize::MAX, move || {
                started.send(number).unwrap();
                released.lock().unwrap().recv().unwrap();
            })
        });
        let mut all = Box::pin(join_all(work));
        assert!(all.as_mut().now_or_never().is_none());
        let _ = (starts.recv().unwrap(), starts.recv().unwrap());
        assert!(all.as_mut().now_or_never().is_none());
        assert!(starts.try_recv().is_err(), "the others wait");
        for _ in 0..4 {
            release.send(()).unwrap();
        }
        assert!(all.await.iter().all(Result::is_ok));
    }
}
