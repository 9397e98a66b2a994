//! The events of a batch, parsed in one pass.
//!
//! Parsing stops at the first event that is not valid, so a body of 16 MiB costs no more than its events do.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use stentor_hub::{Body as RecordBody, Entry, TopicName};

use crate::problem::{Code, Problem};
use crate::routes::publish::options;

/// Maximum number of events.
const EVENTS_MAX: usize = 10_000;
/// Maximum number of characters of an unknown field's name in an error.
const NAME_CHARS_SHOWN: usize = 64;

/// Parses a JSON array of events.
pub(super) fn array(text: &str) -> Result<Vec<Entry>, Problem> {
    let mut problem = None;
    let mut input = serde_json::Deserializer::from_str(text);
    let parsed = if text.trim_start().starts_with('[') {
        Batch { problem: &mut problem }.deserialize(&mut input)
    } else {
        Value::deserialize(&mut input).map(|value| {
            let fault = format!("the body is {}, not an array", value.kind());
            problem = Some(not_a_batch(&fault));
            Vec::new()
        })
    };
    match parsed.and_then(|entries| input.end().map(|()| entries)) {
        Ok(entries) => problem.map_or(Ok(entries), Err),
        Err(error) => Err(problem.unwrap_or_else(|| {
            let (line, column) = (error.line(), error.column());
            not_a_batch(&format!("the body is not valid JSON at line {line}, column {column}"))
        })),
    }
}

/// Parses NDJSON: one event per line. Blank lines are skipped.
pub(super) fn lines(text: &str) -> Result<Vec<Entry>, Problem> {
    let mut entries = Vec::new();
    for (line, number) in text.lines().zip(1_usize..) {
        if line.trim().is_empty() {
            continue;
        }
        let value = serde_json::from_str(line).map_err(|error| {
            let fault = format!("line {number} is not valid JSON at column {}", error.column());
            not_a_batch(&fault).with_member("line", number)
        })?;
        let item = Item::of(value).map_err(|fault| {
            not_a_batch(&format!("line {number} {fault}")).with_member("line", number)
        })?;
        add(&mut entries, item)?;
    }
    Ok(entries)
}

/// Adds an event to the batch.
fn add(entries: &mut Vec<Entry>, item: Item) -> Result<(), Problem> {
    let index = entries.len();
    if index == EVENTS_MAX {
        return Err(too_many());
    }
    entries.push(item.entry().map_err(|problem| problem.with_member("index", index))?);
    Ok(())
}

/// Parses the elements of the array. Stops at the first fault, and stores its problem.
struct Batch<'p> {
    problem: &'p mut Option<Problem>,
}

impl<'de> DeserializeSeed<'de> for Batch<'_> {
    type Value = Vec<Entry>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Vec<Entry>, D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Batch<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<Entry>, A::Error> {
        let mut entries = Vec::new();
        while let Some(value) = array.next_element::<Value>()? {
            let index = entries.len();
            let added = Item::of(value)
                .map_err(|fault| {
                    not_a_batch(&format!("event {index} {fault}")).with_member("index", index)
                })
                .and_then(|item| add(&mut entries, item));
            if let Err(problem) = added {
                *self.problem = Some(problem);
                return Err(A::Error::custom("not an event"));
            }
        }
        Ok(entries)
    }
}

/// The fields of an event, with the right types.
struct Item {
    topic: String,
    data: String,
    event_type: Option<String>,
    retry: Option<usize>,
}

impl Item {
    /// Checks the types of the fields. The error is a phrase to put behind the name of the event.
    fn of(value: Value) -> Result<Item, String> {
        let Value::Object(fields) = value else {
            return Err(format!("is {}, not an object", value.kind()));
        };
        let Fields { topic, data, event_type, retry, unknown, is_repeated } = *fields;
        let topic = topic.ok_or("has no `topic`")?;
        let data = data.ok_or("has no `data`")?;
        if let Some(name) = unknown {
            return Err(format!("has the unknown field `{name}`"));
        }
        if is_repeated {
            return Err("has the same field twice".to_owned());
        }
        if matches!(data, Value::Object(_) | Value::Array) {
            return Err(format!(
                "has {} as `data`, which must be a string; send the JSON text of it in quotes",
                data.kind()
            ));
        }
        let event_type = match event_type {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.text("type")?).filter(|name| !name.is_empty()),
        };
        let retry = match retry {
            None | Some(Value::Null) => None,
            Some(Value::Whole(millis)) => Some(usize::try_from(millis).unwrap_or(usize::MAX)),
            Some(_) => {
                return Err("has a `retry` that is not a whole number of milliseconds".to_owned());
            }
        };
        Ok(Item { topic: topic.text("topic")?, data: data.text("data")?, event_type, retry })
    }

    fn entry(self) -> Result<Entry, Problem> {
        let topic = TopicName::new(self.topic)?;
        if matches!(topic.as_str(), "." | "..") {
            let detail = format!("no path can name the topic \"{topic}\"; choose another name");
            return Err(Problem::of(Code::Topic, detail));
        }
        let event_type = self.event_type.map(|name| options::event_type(&name)).transpose()?;
        let retry = self.retry.map(options::retry).transpose()?;
        let event = options::event(self.data, event_type, retry);
        let entry = Entry::new(topic, RecordBody::Event(event));
        entry.validate()?;
        Ok(entry)
    }
}

/// A JSON value, as far as a batch needs it.
enum Value {
    Null,
    Bool,
    /// A number from 0 to 2^64 - 1 without a fraction.
    Whole(u64),
    Number,
    Text(String),
    Array,
    Object(Box<Fields>),
}

/// The known fields of an object.
#[derive(Default)]
struct Fields {
    topic: Option<Value>,
    data: Option<Value>,
    event_type: Option<Value>,
    retry: Option<Value>,
    /// The beginning of the first unknown name.
    unknown: Option<String>,
    is_repeated: bool,
}

impl Value {
    /// Names the type of the value.
    fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool => "a boolean",
            Value::Whole(_) | Value::Number => "a number",
            Value::Text(_) => "a string",
            Value::Array => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// Returns the text of the field `name`.
    fn text(self, name: &str) -> Result<String, String> {
        match self {
            Value::Text(text) => Ok(text),
            other => Err(format!("has {} as `{name}`, which must be a string", other.kind())),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Value, D::Error> {
        input.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Box::<Fields>::default();
        while let Some(name) = object.next_key::<Cow<'de, str>>()? {
            let field = match name.as_ref() {
                "topic" => &mut fields.topic,
                "data" => &mut fields.data,
                "type" => &mut fields.event_type,
                "retry" => &mut fields.retry,
                unknown => {
                    let shown = || unknown.chars().take(NAME_CHARS_SHOWN).collect();
                    fields.unknown.get_or_insert_with(shown);
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let is_repeated = field.replace(object.next_value()?).is_some();
            fields.is_repeated |= is_repeated;
        }
        Ok(Value::Object(fields))
    }
}

fn not_a_batch(fault: &str) -> Problem {
    let detail = format!(
        "the batch cannot be read: {fault}; send a JSON array of events, or one event per line with \
         Content-Type application/x-ndjson. An event is {{\"topic\", \"data\", \"type\"?, \"retry\"?}}; \
         topic, data and type are strings, retry is a number"
    );
    Problem::of(Code::Batch, detail)
}

fn too_many() -> Problem {
    let detail = format!(
        "the batch has more than {EVENTS_MAX} events; split it, or upload NDJSON to /topics/NAME, which has no \
         such limit"
    );
    Problem::of(Code::TooMany, detail).with_member("limit", EVENTS_MAX)
}
