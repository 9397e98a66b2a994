//! The states of some topics, in steps.

use super::snapshot::Snapshot;
use super::step::Stepped;
use crate::storage::result::TopicState;
use crate::storage::sqlite::db_error::DbError;
use crate::topic::TopicName;

/// See [`Storage::states`](crate::storage::Storage::states). Each state is that of the snapshot of its step.
pub(crate) struct StatesQuery {
    names: Vec<TopicName>,
    states: Vec<TopicState>,
}

impl StatesQuery {
    pub(crate) fn new(names: Vec<TopicName>) -> StatesQuery {
        StatesQuery { names, states: Vec::new() }
    }
}

impl Stepped for StatesQuery {
    type Output = Vec<TopicState>;

    fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        rows_max: u64,
    ) -> Result<Option<Vec<TopicState>>, DbError> {
        while let Some(name) = self.names.get(self.states.len()) {
            if snapshot.work() >= rows_max {
                return Ok(None);
            }
            self.states.push(snapshot.state(name)?);
        }
        Ok(Some(std::mem::take(&mut self.states)))
    }
}

impl Snapshot<'_> {
    fn state(&self, name: &TopicName) -> Result<TopicState, DbError> {
        self.count_lookup();
        match self.known_state(name) {
            // It is not known if the topic has ended, so its readers stay. Their reads report the damage.
            Err(error) if error.is_corrupt() => {
                self.note_damaged_row(error.place());
                Ok(TopicState::default())
            }
            state => state,
        }
    }

    fn known_state(&self, name: &TopicName) -> Result<TopicState, DbError> {
        let Some(topic) = self.topic_named(name)? else {
            let removed_through = self.forgotten_of(name.as_str())?.through;
            return Ok(TopicState { removed_through, ..TopicState::default() });
        };
        let end = self.end_of(&topic)?;
        let (events, bytes, removed_through) = (topic.events, topic.bytes, topic.removed_through);
        Ok(TopicState { events, bytes, end, removed_through })
    }
}
