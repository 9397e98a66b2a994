//! Many publishes, one after the other.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::{Stream, StreamExt};
use stentor_client::{Publish, PublishAck, PublishError, Published};
use tokio::time::{Instant, timeout_at};

use crate::commands::connection::ConnectionArgs;
use crate::output::{print_line, print_message};

/// How long the server may take until it is worth a word.
const LATE: Duration = Duration::from_secs(3);

/// Publishes these in their order, as they come, and prints the ids: of an event that went alone its
/// own, of those that went together that of the last. Tells how many they were.
///
/// While the server is away they wait. An error among them ends it, after those before it are
/// published.
pub(crate) async fn publish_all(
    server: &ConnectionArgs,
    topic: &str,
    events: impl Stream<Item = anyhow::Result<Publish>>,
) -> anyhow::Result<u64> {
    let publisher = server.publisher().attempts_max(u32::MAX).retry_time(Duration::MAX).build()?;
    let feed = publisher.queue(topic)?;
    let mut events = pin!(events.fuse());
    let mut answers = Answers::begin();
    let mut end = None;
    loop {
        tokio::select! {
            biased;
            answer = answers.next(), if !answers.waiting.is_empty() => match answer {
                Ok(answer) => answers.print(answer)?,
                Err(_) => break,
            },
            event = events.next(), if end.is_none() => match event {
                Some(Ok(event)) => match feed.send(event).await {
                    Ok(receipt) => answers.waiting.push_back((Instant::now(), receipt)),
                    Err(_) => break,
                },
                Some(Err(error)) => end = Some(Err(error)),
                None => end = Some(Ok(())),
            },
            else => break,
        }
    }
    let all = feed.finish().await.map_err(|error| anyhow!("{error}"))?;
    end.unwrap_or(Ok(()))?;
    Ok(all.count)
}

/// What was sent and is not answered yet.
struct Answers {
    waiting: VecDeque<(Instant, PublishAck)>,
    /// When the last answer came.
    answered: Instant,
    /// Whether it was said that the server takes long.
    is_late: bool,
    printed: Option<String>,
}

impl Answers {
    fn begin() -> Answers {
        let answered = Instant::now();
        Answers { waiting: VecDeque::new(), answered, is_late: false, printed: None }
    }

    /// The next answer, or nothing for ever. It may be dropped at any time.
    async fn next(&mut self) -> Result<Published, PublishError> {
        let Some((sent, receipt)) = self.waiting.front_mut() else { return pending().await };
        let deadline = self.answered.max(*sent) + LATE;
        let in_time = timeout_at(deadline, &mut *receipt).await;
        let answer = if let Ok(answer) = in_time {
            answer
        } else {
            if !self.is_late {
                self.is_late = true;
                let seconds = LATE.as_secs();
                print_message(format_args!(
                    "the server has not answered for {seconds} s; trying on"
                ));
            }
            receipt.await
        };
        self.waiting.pop_front();
        self.answered = Instant::now();
        if std::mem::take(&mut self.is_late) && answer.is_ok() {
            print_message(format_args!("the server answers again"));
        }
        answer
    }

    fn print(&mut self, answer: Published) -> io::Result<()> {
        if let Some(id) = answer.last_id
            && self.printed.as_ref() != Some(&id)
        {
            print_line(&id)?;
            self.printed = Some(id);
        }
        Ok(())
    }
}
