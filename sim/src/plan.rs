//! The plan of a run: everything that its seed decides before the first action.

use std::time::Duration;

use fastrand::Rng;
use http::Version;
use stentor_testing::judge::Form;

use crate::faults::Faults;

/// Prefix of the topics that retention trims.
pub(crate) const TRIM_PREFIX: &str = "trim/";
/// Number of events that it keeps of each.
pub(crate) const TRIM_KEPT: usize = 8;
/// Number of topics of each shared kind.
pub(crate) const SHARED_TOPICS: usize = 3;

/// Everything that the seed of a run decides before the first action.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Number of shards.
    pub(crate) shards: usize,
    /// Size of the live window in bytes.
    pub(crate) window_bytes: usize,
    /// Size limit of the log in bytes, which removes the oldest events.
    pub(crate) log_bytes: Option<usize>,
    /// Time until a keep-alive. Long ones do not hide lost wake-ups.
    pub(crate) keep_alive: Duration,
    /// The rates of storage faults.
    pub(crate) faults: Faults,
    /// The readers.
    pub(crate) readers: Vec<ReaderPlan>,
    /// Number of publishers.
    pub(crate) publishers: usize,
    /// Chance in percent that an action is a restart of the server, times 100.
    pub(crate) restarts: u32,
    /// Chance in percent that an action is a disturbance by a client, times 10.
    pub(crate) disturbances: u32,
    /// Other nodes append to the log.
    pub(crate) has_foreign: bool,
}

/// The behavior of a reader.
#[derive(Clone, Debug)]
pub(crate) struct ReaderPlan {
    /// Topic filters.
    pub(crate) filters: Vec<String>,
    /// Form of the stream.
    pub(crate) form: Form,
    /// Query that says where it starts, for example `from=earliest`.
    pub(crate) start: &'static str,
    /// The version of HTTP. Streams of HTTP/2 are response bodies, which a shard writes through a pipe.
    pub(crate) version: Version,
    /// Bytes that fit into its connection.
    pub(crate) capacity: usize,
    /// The connection takes one byte at a time.
    pub(crate) byte_by_byte: bool,
    /// It is slow: it reads rarely.
    pub(crate) is_slow: bool,
    /// Action after which it starts.
    pub(crate) begins_at: u64,
}

/// Versions of HTTP, the frequent ones more than once. Not every run has readers of HTTP/2, whose streams need more
/// time.
const VERSIONS: [Version; 5] =
    [Version::HTTP_2, Version::HTTP_10, Version::HTTP_11, Version::HTTP_11, Version::HTTP_11];

/// Topic filters of readers: exact names, several names, patterns.
const FILTERS: &[&[&str]] = &[
    &["news/0"],
    &["news/0"],
    &["news/1"],
    &["news/0", "news/1", "trim/0"],
    &["news/*"],
    &["news/*", "job/**"],
    &["trim/0"],
    &["trim/*"],
    &["gone/0"],
    &["gone/1"],
    &["gone/*"],
    &["job/0/0"],
    &["job/1/0", "job/1/1"],
    &["job/0/0", "gone/0"],
    &["gone/0", "gone/1"],
    &["work/0/0"],
    &["work/**"],
    &["**"],
    &["**"],
];

impl Plan {
    /// Makes the plan of a seed.
    pub(crate) fn new(rng: &mut Rng, steps: u64) -> Plan {
        let log_bytes = (rng.u8(0..4) == 0).then(|| rng.usize(30_000..80_000));
        let readers = rng.usize(2..=12);
        let versions = if rng.u8(0..3) == 0 { &VERSIONS[..] } else { VERSIONS.split_at(1).1 };
        Plan {
            shards: rng.usize(1..=3),
            window_bytes: pick(rng, &[1, 2_000, 20_000, 1 << 20]),
            keep_alive: Duration::from_secs(pick(rng, &[2, 15, 36_000])),
            faults: Faults::random(rng),
            readers: (0..readers)
                .map(|_| ReaderPlan::new(rng, versions, steps, log_bytes.is_some()))
                .collect(),
            publishers: rng.usize(1..=4),
            restarts: pick(rng, &[0, 5, 20, 60]),
            disturbances: pick(rng, &[0, 10, 40, 120]),
            has_foreign: rng.u8(0..4) == 0,
            log_bytes,
        }
    }

    /// Returns `true` if a stream is a response body.
    pub(crate) fn has_bodies(&self) -> bool {
        self.readers.iter().any(|reader| reader.version == Version::HTTP_2)
    }
}

impl ReaderPlan {
    fn new(rng: &mut Rng, versions: &[Version], steps: u64, is_bounded: bool) -> ReaderPlan {
        let filters = FILTERS.get(rng.usize(0..FILTERS.len())).copied().unwrap_or_default();
        // The losses of a silent reader are not reported, so it reads topics that lose nothing.
        let keeps_all = !is_bounded && filters.iter().all(|filter| filter.starts_with("news/"));
        let forms = [Form::Plain, Form::Plain, Form::Envelope, Form::Ndjson, Form::Silent];
        let form = pick(rng, &forms);
        let byte_by_byte = rng.u8(0..8) == 0;
        let capacity = pick(rng, &[1, 40, 300, 4_096, 200_000, 200_000]);
        let form = if form == Form::Silent && !keeps_all { Form::Plain } else { form };
        ReaderPlan {
            filters: filters.iter().map(ToString::to_string).collect(),
            form,
            start: pick(rng, &["from=earliest", "from=now", "from=now", "last=3"]),
            version: pick(rng, versions),
            capacity: if byte_by_byte { rng.usize(1..600) } else { capacity },
            byte_by_byte,
            is_slow: rng.u8(0..3) == 0,
            begins_at: if rng.bool() { 0 } else { rng.u64(0..steps.max(1)) },
        }
    }
}

fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    let at = rng.usize(0..from.len());
    from.get(at).or(from.first()).cloned().unwrap_or_else(|| unreachable!("a list with values"))
}
