//! Logs with a history, made in this process and then handed to a server.

use std::path::Path;

use stentor_hub::storage::{Durability, SqliteOptions, SqliteStorage};
use stentor_hub::{Event, Hub, Publish, TopicName};

use crate::load::EVENT_BYTES;

/// Writes so many small events, in turn to each of these topics.
pub(crate) async fn fill(dir: &Path, topics: &[String], events: u64) -> anyhow::Result<()> {
    let hub = Hub::new(SqliteStorage::open_with(dir, options())?);
    append(&hub, topics, events).await?;
    hub.close().await;
    Ok(())
}

/// A log that is filled quickly and has no bound that would trim it.
pub(crate) fn options() -> SqliteOptions {
    SqliteOptions { durability: Durability::Os, bytes_max: None }
}

/// The same into an open log. The data of an event begins with its number.
pub(crate) async fn append(hub: &Hub, topics: &[String], events: u64) -> anyhow::Result<()> {
    const BATCH: u64 = 1_000;
    let names: Vec<TopicName> = topics.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let mut numbers = (0..events).zip(names.iter().cycle());
    loop {
        let batch: Vec<Publish> = numbers
            .by_ref()
            .take(BATCH as usize)
            .map(|(number, topic)| Publish::event(topic.clone(), Event::new(data(number))))
            .collect();
        if batch.is_empty() {
            return Ok(());
        }
        for published in hub.publish_all(batch).await? {
            published?;
        }
    }
}

fn data(number: u64) -> String {
    format!("{number:0>10} {:e<width$}", "", width = EVENT_BYTES - 11)
}
