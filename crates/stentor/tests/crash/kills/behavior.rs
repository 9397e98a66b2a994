//! The filters of readers, and their behavior.

use fastrand::Rng;
use stentor_testing::judge::Form;

use crate::kills::stream::Transport;

#[derive(Clone, Debug)]
pub struct Behavior {
    pub filters: Vec<String>,
    pub form: Form,
    pub transport: Transport,
    /// `true` to start with the oldest event.
    pub from_earliest: bool,
    /// `true` to stop reading for a while, at random times.
    pub stalls: bool,
    /// `true` to cut the connection at random times.
    pub cuts: bool,
}

/// The readers that start with the run. A bounded log is trimmed all the time, so a silent reader could not be
/// checked there.
pub fn first(is_bounded: bool) -> Vec<Behavior> {
    use Form::{Envelope, Ndjson, Plain, Silent};
    use Transport::{Body, Curl, Http2, Socket};
    let behavior = |filters: &[&str], form, transport, from_earliest, stalls, cuts| Behavior {
        filters: filters.iter().map(ToString::to_string).collect(),
        form,
        transport,
        from_earliest,
        stalls,
        cuts,
    };
    let mut behaviors = vec![
        // Three equal readers. They are in one live group, and resume with one cursor.
        behavior(&["news/0"], Plain, Socket, false, false, false),
        behavior(&["news/0"], Plain, Socket, false, false, false),
        behavior(&["news/0"], Plain, Socket, false, false, false),
        behavior(&["news/1"], Plain, Socket, false, true, true),
        behavior(&["news/1"], Plain, Body, true, true, true),
        behavior(&["news/2"], Ndjson, Socket, true, false, true),
        behavior(&["news/4"], Plain, Curl, true, true, false),
        behavior(&["news/0", "news/1", "news/3", "job/0/0"], Plain, Socket, true, false, true),
        behavior(&["news/0", "news/4", "trim/1"], Envelope, Body, false, false, true),
        behavior(&["news/*"], Plain, Socket, false, true, false),
        behavior(&["news/*", "job/**"], Envelope, Socket, true, false, true),
        behavior(&["news/*", "large/**"], Ndjson, Http2, true, true, false),
        behavior(&["job/*/1", "gone/1"], Envelope, Socket, false, false, true),
        behavior(&["gone/0"], Plain, Socket, false, false, true),
        behavior(&["gone/0"], Plain, Http2, true, false, false),
        behavior(&["gone/*"], Ndjson, Socket, true, true, false),
        behavior(&["large/**"], Plain, Socket, true, true, true),
        behavior(&["trim/0"], Plain, Socket, false, true, true),
        behavior(&["trim/*"], Ndjson, Socket, true, true, true),
        behavior(&["**"], Envelope, Socket, false, false, true),
        behavior(&["**"], Ndjson, Curl, true, true, false),
    ];
    if !is_bounded {
        behaviors.push(behavior(&["news/3"], Silent, Socket, false, false, true));
        behaviors.push(behavior(&["news/*"], Silent, Body, true, true, true));
    }
    behaviors
}

impl Behavior {
    /// The behavior of a reader that starts late.
    pub fn late(filters: Vec<String>, rng: &mut Rng) -> Behavior {
        Behavior {
            filters,
            form: *rng.choice(&[Form::Plain, Form::Envelope, Form::Ndjson]).unwrap(),
            transport: *rng
                .choice(&[Transport::Socket, Transport::Socket, Transport::Body])
                .unwrap(),
            from_earliest: rng.bool(),
            stalls: rng.bool(),
            cuts: rng.bool(),
        }
    }

    pub fn path(&self) -> String {
        let from = if self.from_earliest { "from=earliest" } else { "from=now" };
        let form = match self.form {
            Form::Envelope => "&envelope=json",
            Form::Silent => "&control=off",
            Form::Plain | Form::Ndjson => "",
        };
        if let Some(topic) = self.only_topic() {
            return format!("/topics/{topic}?{from}{form}");
        }
        let filters = self.filters.iter().map(|filter| format!("&topic={filter}"));
        format!("/events?{from}{form}{}", filters.collect::<String>())
    }

    /// The topic, if there is exactly one and no pattern.
    pub fn only_topic(&self) -> Option<String> {
        self.filters.first().filter(|one| self.filters.len() == 1 && !one.contains('*')).cloned()
    }

    pub fn accept(&self) -> &'static str {
        if self.form == Form::Ndjson { "application/x-ndjson" } else { "text/event-stream" }
    }
}
