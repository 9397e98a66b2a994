//! Leases: changes of a write transaction.

use super::transaction::WriteTransaction;
use crate::cursor::Cursor;
use crate::lease::{LEASES_MAX, LeaseChange};
use crate::publish::Publish;
use crate::storage::result::Outcome;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::lease;
use crate::topic::TopicName;

impl WriteTransaction<'_> {
    /// Returns the reason why a topic cannot get the lease of a publish.
    pub(super) fn refuse_lease(
        &mut self,
        change: &LeaseChange,
        publish: &Publish,
    ) -> Result<Option<Outcome>, DbError> {
        if change.length.is_none() {
            return Ok(None);
        }
        let topic = self.topic(&change.topic)?;
        if let Some((offset, check)) = topic.end.filter(|_| !topic.deleted) {
            let end = Cursor::event_id(self.epoch, offset, check);
            return Ok(Some(Outcome::Ended { topic: change.topic.clone(), end }));
        }
        let has_room = publish.ends(&change.topic) || self.has_room_for_lease(&change.topic)?;
        Ok((!has_room).then_some(Outcome::TooManyLeases))
    }

    /// Changes the lease of a repeat, if its topic is still in use.
    pub(super) fn change_lease_of_repeat(&mut self, publish: &Publish) -> Result<(), DbError> {
        let Some(change) = &publish.lease else { return Ok(()) };
        let topic = self.topic(&change.topic)?;
        let is_open = topic.events > 0 && topic.end.is_none();
        if is_open
            && !publish.ends(&change.topic)
            && (change.length.is_none() || self.has_room_for_lease(&change.topic)?)
        {
            self.change_lease(change)?;
        }
        Ok(())
    }

    /// Stores or removes a lease.
    pub(super) fn change_lease(&mut self, change: &LeaseChange) -> Result<(), DbError> {
        let Some(length) = change.length else { return self.remove_lease(&change.topic) };
        let is_new = !lease::exists(self.connection, &change.topic)?;
        lease::store(self.connection, &change.topic, length)?;
        self.log.leases += u64::from(is_new);
        self.leases.push(change.clone());
        Ok(())
    }

    /// Removes the lease of a topic, if it has one.
    pub(super) fn remove_lease(&mut self, topic: &TopicName) -> Result<(), DbError> {
        // Most logs have no lease, and this is called with every end.
        if self.log.leases > 0 && lease::delete(self.connection, topic)? {
            self.log.leases = self.log.leases.saturating_sub(1);
            self.leases.push(LeaseChange { topic: topic.clone(), length: None });
        }
        Ok(())
    }

    fn has_room_for_lease(&self, topic: &TopicName) -> Result<bool, DbError> {
        Ok(self.log.leases < LEASES_MAX as u64 || lease::exists(self.connection, topic)?)
    }
}
