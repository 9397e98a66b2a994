//! Texts with the placeholders `{topic}`, `{mark}` and `{pad}`. Other braces have no meaning.

use crate::mark::{MARK_BYTES, Mark};

const PLACEHOLDERS: [(&str, Part); 3] =
    [("{topic}", Part::Topic), ("{mark}", Part::Mark), ("{pad}", Part::Pad)];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Mark,
    Pad,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Template {
        let mut parts = Vec::new();
        let mut rest = text;
        let first = |rest: &str| {
            let found = PLACEHOLDERS.iter().filter_map(|it| Some((rest.find(it.0)?, it)));
            found.min_by_key(|(at, _)| *at)
        };
        while let Some((at, (name, part))) = first(rest) {
            let (before, after) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(part.clone());
            rest = after.strip_prefix(name).unwrap_or_default();
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Template(parts)
    }

    pub(crate) fn has_topic(&self) -> bool {
        self.0.contains(&Part::Topic)
    }

    pub(crate) fn has_mark(&self) -> bool {
        self.0.contains(&Part::Mark)
    }

    /// Writes the text of a URL, in which only `{topic}` is replaced.
    pub(crate) fn write_url(&self, topic: usize, out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Topic => out.extend_from_slice(topic.to_string().as_bytes()),
                Part::Mark | Part::Pad => {}
            }
        }
    }

    /// Writes the text with all placeholders replaced. The first `{pad}` fills it up to `bytes`, if it is shorter.
    pub(crate) fn write(&self, topic: usize, mark: Mark, bytes: usize, out: &mut Vec<u8>) {
        let topic = topic.to_string();
        let others = self.0.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Topic => topic.len(),
            Part::Mark => MARK_BYTES,
            Part::Pad => 0,
        });
        let mut padding = bytes.saturating_sub(others.sum());
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Topic => out.extend_from_slice(topic.as_bytes()),
                Part::Mark => mark.write(out),
                Part::Pad => out.resize(out.len() + std::mem::take(&mut padding), b'x'),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_and_other_braces_stay() {
        let template = Template::parse(r#"{"t":"{topic}","m":"{mark}","p":"{pad}"}"#);
        let mut out = Vec::new();
        template.write(12, Mark { run: 1, number: 2 }, 50, &mut out);
        let text = r#"{"t":"12","m":"~0000000100000002~","p":"xxxxxxxx"}"#;
        assert_eq!((String::from_utf8(out).unwrap().as_str(), text.len()), (text, 50));
        assert!(template.has_topic() && template.has_mark());
    }

    #[test]
    fn without_room_there_is_no_padding() {
        let mut out = Vec::new();
        Template::parse("{mark}{pad}").write(0, Mark { run: 1, number: 2 }, 3, &mut out);
        assert_eq!(out.len(), MARK_BYTES);
    }

    #[test]
    fn in_a_url_only_the_topic_is_replaced() {
        let mut out = Vec::new();
        let template = Template::parse("/sub/{topic}/{x}");
        template.write_url(3, &mut out);
        assert_eq!((out.as_slice(), template.has_mark()), (&b"/sub/3/{x}"[..], false));
    }
}
