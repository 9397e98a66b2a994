//! QueryCache that many ask at the same time, asked once.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::future::BoxFuture;
use futures_util::future::{FutureExt, Shared, WeakShared};

use crate::cursor::Offset;
use crate::storage::StorageError;

/// QueryCache of one kind that are remembered, under way or answered; further ones are asked by whoever
/// asks, for himself alone.
const ASKED_MAX: usize = 4_096;
/// Answers that are kept.
const KEPT_MAX: usize = 1_024;

/// QueryCache of one kind to the storage: whoever asks what is being asked waits for the same answer,
/// and the last answers are kept, for a crowd does not come all in one instant.
///
/// Each question remembers the moment at which it was asked, and each asker says whether an answer from
/// that moment serves him: [`ReaderQueries`](crate::reader_queries::ReaderQueries) knows when it does. An error goes to all who
/// wait for it and is not kept. Who gives up hurts nobody; when all give up, the question is dropped.
pub(crate) struct QueryCache<Q, A>(Arc<Mutex<Table<Q, A>>>);

/// When a question was asked, in terms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// All records up to here were there.
    pub(crate) tail: Offset,
    /// Every time that records go, this grows.
    pub(crate) losses: u64,
}

struct Table<Q, A> {
    asked: HashMap<Q, Asked<A>>,
    /// Whose answers are kept, and under which number; the longest kept first.
    kept: VecDeque<(Q, u64)>,
    /// What the kept answers weigh.
    bytes: usize,
    bytes_max: usize,
    weigh: Weigh<Q, A>,
    /// How many were asked.
    count: u64,
}

/// The memory of an answer that is worth keeping.
type Weigh<Q, A> = fn(&Q, &A) -> Option<usize>;

struct Asked<A> {
    number: u64,
    at: Moment,
    answer: Answer<A>,
}

enum Answer<A> {
    /// Held by those who wait for it.
    UnderWay(WeakShared<Flight<A>>),
    Kept {
        answer: A,
        bytes: usize,
    },
}

type Flight<A> = BoxFuture<'static, Result<A, StorageError>>;

/// How a question is answered.
enum Found<A> {
    Kept(A),
    UnderWay(Shared<Flight<A>>),
}

impl<Q, A> QueryCache<Q, A>
where
    Q: Clone + Eq + Hash + Send + 'static,
    A: Clone + Send + Sync + 'static,
{
    /// Keeps answers of so many bytes.
    pub(crate) fn new(bytes_max: usize, weigh: Weigh<Q, A>) -> QueryCache<Q, A> {
        QueryCache(Arc::new(Mutex::new(Table {
            asked: HashMap::new(),
            kept: VecDeque::new(),
            bytes: 0,
            bytes_max,
            weigh,
            count: 0,
        })))
    }

    /// The answer to a question, from a moment that serves the asker; the storage is asked (which is
    /// what `ask` does) if there is none.
    pub(crate) async fn ask(
        &self,
        question: Q,
        now: Moment,
        serves: impl FnOnce(Moment) -> bool,
        ask: impl Future<Output = Result<A, StorageError>> + Send + 'static,
    ) -> Result<A, StorageError> {
        let found = lock(&self.0).find(&question, serves);
        let flight = match found {
            Some(Found::Kept(answer)) => return Ok(answer),
            Some(Found::UnderWay(flight)) => flight,
            None => self.begin(question, now, ask),
        };
        flight.await
    }

    fn begin(
        &self,
        question: Q,
        at: Moment,
        ask: impl Future<Output = Result<A, StorageError>> + Send + 'static,
    ) -> Shared<Flight<A>> {
        let mut table = lock(&self.0);
        table.count += 1;
        let number = table.count;
        let under_way = UnderWay { table: Arc::clone(&self.0), question: question.clone(), number };
        let flight = async move {
            let answer = ask.await;
            if let Ok(answer) = &answer {
                under_way.keep(answer);
            }
            answer
        };
        let flight = flight.boxed().shared();
        if table.asked.len() < ASKED_MAX
            && let Some(held) = flight.downgrade()
        {
            table.insert(question, Asked { number, at, answer: Answer::UnderWay(held) });
        }
        flight
    }
}

impl<Q: Clone + Eq + Hash, A: Clone> Table<Q, A> {
    fn find(&self, question: &Q, serves: impl FnOnce(Moment) -> bool) -> Option<Found<A>> {
        let asked = self.asked.get(question)?;
        if !serves(asked.at) {
            return None;
        }
        match &asked.answer {
            Answer::Kept { answer, .. } => Some(Found::Kept(answer.clone())),
            Answer::UnderWay(flight) => flight.upgrade().map(Found::UnderWay),
        }
    }

    fn keep(&mut self, question: &Q, number: u64, answer: &A) {
        let Some(bytes) = (self.weigh)(question, answer) else { return };
        let Some(asked) = self.asked.get_mut(question).filter(|asked| asked.number == number)
        else {
            return;
        };
        if bytes > self.bytes_max {
            return;
        }
        asked.answer = Answer::Kept { answer: answer.clone(), bytes };
        self.bytes += bytes;
        self.kept.push_back((question.clone(), number));
        while self.bytes > self.bytes_max || self.kept.len() > KEPT_MAX {
            let Some((oldest, number)) = self.kept.pop_front() else { return };
            self.forget(&oldest, number);
        }
    }

    fn insert(&mut self, question: Q, asked: Asked<A>) {
        let before = self.asked.insert(question, asked);
        self.bytes -= before.map_or(0, |asked| asked.bytes());
    }

    /// Forgets a question, unless it was asked anew.
    fn forget(&mut self, question: &Q, number: u64) {
        if self.asked.get(question).is_some_and(|asked| asked.number == number) {
            self.bytes -= self.asked.remove(question).map_or(0, |asked| asked.bytes());
        }
    }
}

impl<A> Asked<A> {
    fn bytes(&self) -> usize {
        if let Answer::Kept { bytes, .. } = self.answer { bytes } else { 0 }
    }
}

/// A question for as long as it is under way.
struct UnderWay<Q: Clone + Eq + Hash, A: Clone> {
    table: Arc<Mutex<Table<Q, A>>>,
    question: Q,
    number: u64,
}

impl<Q: Clone + Eq + Hash, A: Clone> UnderWay<Q, A> {
    fn keep(&self, answer: &A) {
        lock(&self.table).keep(&self.question, self.number, answer);
    }
}

impl<Q: Clone + Eq + Hash, A: Clone> Drop for UnderWay<Q, A> {
    /// Answered, refused or given up: who asks now does so anew, unless the answer is kept.
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        let asked = table.asked.get(&self.question);
        if asked.is_some_and(|asked| matches!(asked.answer, Answer::UnderWay(_))) {
            table.forget(&self.question, self.number);
        }
    }
}

fn lock<Q, A>(table: &Mutex<Table<Q, A>>) -> MutexGuard<'_, Table<Q, A>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
