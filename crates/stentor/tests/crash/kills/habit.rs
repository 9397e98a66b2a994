//! What readers ask for, and how they behave.

use fastrand::Rng;

use crate::kills::stream::Wire;

#[derive(Clone, Debug)]
pub struct Habit {
    pub filters: Vec<String>,
    pub form: Form,
    pub wire: Wire,
    /// Whether it begins with the oldest event.
    pub from_earliest: bool,
    /// Whether it stops reading for a while, now and then.
    pub stalls: bool,
    /// Whether it cuts its connection, now and then.
    pub cuts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// Plain without a word on gaps and ends.
    Silent,
    Envelope,
    Ndjson,
}

/// The readers that are there from the beginning. Where events are trimmed all the time, a silent one could
/// not be judged.
pub fn first(is_bounded: bool) -> Vec<Habit> {
    use Form::{Envelope, Ndjson, Plain, Silent};
    use Wire::{Body, Curl, Http2, Socket};
    let habit = |filters: &[&str], form, wire, from_earliest, stalls, cuts| Habit {
        filters: filters.iter().map(ToString::to_string).collect(),
        form,
        wire,
        from_earliest,
        stalls,
        cuts,
    };
    let mut habits = vec![
        // Three of one mind: they are live in one feed, and come back with one cursor.
        habit(&["news/0"], Plain, Socket, false, false, false),
        habit(&["news/0"], Plain, Socket, false, false, false),
        habit(&["news/0"], Plain, Socket, false, false, false),
        habit(&["news/1"], Plain, Socket, false, true, true),
        habit(&["news/1"], Plain, Body, true, true, true),
        habit(&["news/2"], Ndjson, Socket, true, false, true),
        habit(&["news/4"], Plain, Curl, true, true, false),
        habit(&["news/0", "news/1", "news/3", "job/0/0"], Plain, Socket, true, false, true),
        habit(&["news/0", "news/4", "trim/1"], Envelope, Body, false, false, true),
        habit(&["news/*"], Plain, Socket, false, true, false),
        habit(&["news/*", "job/**"], Envelope, Socket, true, false, true),
        habit(&["news/*", "large/**"], Ndjson, Http2, true, true, false),
        habit(&["job/*/1", "gone/1"], Envelope, Socket, false, false, true),
        habit(&["gone/0"], Plain, Socket, false, false, true),
        habit(&["gone/0"], Plain, Http2, true, false, false),
        habit(&["gone/*"], Ndjson, Socket, true, true, false),
        habit(&["large/**"], Plain, Socket, true, true, true),
        habit(&["trim/0"], Plain, Socket, false, true, true),
        habit(&["trim/*"], Ndjson, Socket, true, true, true),
        habit(&["**"], Envelope, Socket, false, false, true),
        habit(&["**"], Ndjson, Curl, true, true, false),
    ];
    if !is_bounded {
        habits.push(habit(&["news/3"], Silent, Socket, false, false, true));
        habits.push(habit(&["news/*"], Silent, Body, true, true, true));
    }
    habits
}

impl Habit {
    /// That of one who begins late.
    pub fn late(filters: Vec<String>, rng: &mut Rng) -> Habit {
        Habit {
            filters,
            form: *rng.choice(&[Form::Plain, Form::Envelope, Form::Ndjson]).unwrap(),
            wire: *rng.choice(&[Wire::Socket, Wire::Socket, Wire::Body]).unwrap(),
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

    /// The topic, if it is a single one.
    pub fn only_topic(&self) -> Option<String> {
        self.filters.first().filter(|one| self.filters.len() == 1 && !one.contains('*')).cloned()
    }

    pub fn accept(&self) -> &'static str {
        if self.form == Form::Ndjson { "application/x-ndjson" } else { "text/event-stream" }
    }
}
