//! Leases: changes and limits.

use std::time::Duration;

use crate::topic::TopicName;

/// Maximum number of topics with a lease at a time.
pub const LEASES_MAX: usize = 100_000;

/// The reason of the end of a topic whose lease expired.
pub const PRODUCER_LOST: &str = "producer lost";

/// A change of the lease of a topic.
///
/// A lease ends the topic with the reason [`PRODUCER_LOST`] if its producer is silent for longer than the lease, see
/// [`Hub::set_lease`](crate::Hub::set_lease).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseChange {
    /// The topic.
    pub topic: TopicName,
    /// The length of its lease from now on, `None` to remove the lease.
    pub length: Option<Duration>,
}

/// The length of a lease as it is stored: rounded up to whole seconds, at least one.
pub(crate) fn whole_seconds(length: Duration) -> Duration {
    let rounded_up = u64::from(length.subsec_nanos() > 0);
    Duration::from_secs(length.as_secs().saturating_add(rounded_up).max(1))
}
