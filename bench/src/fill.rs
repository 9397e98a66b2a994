//! Creates logs with a history in this process, before a server opens them.

use std::path::Path;

use stentor_hub::storage::{Durability, SqliteOptions, SqliteStorage};
use stentor_hub::{Event, Hub, Publish, TopicName};

use crate::publishers::EVENT_BYTES;

/// Writes small events to a log, to each of the topics in turn.
pub(crate) async fn fill(dir: &Path, topics: &[String], events: u64) -> anyhow::Result<()> {
    let hub = Hub::new(SqliteStorage::open_with(dir, options())?);
    append(&hub, topics, events).await?;
    hub.close().await;
    Ok(())
}

/// Options for a log that is filled quickly and never trimmed.
pub(crate) fn options() -> SqliteOptions {
    SqliteOptions { durability: Durability::Os, bytes_max: None, ..SqliteOptions::default() }
}

/// Publishes small events to a hub, to each of the topics in turn. The data of an event starts with its number.
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
