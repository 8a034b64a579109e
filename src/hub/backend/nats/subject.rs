//! Topics and keys as NATS subjects, and back.
//!
//! A plain name stays as it is: topic `orders.eu` is subject `PREFIX.orders.eu`. In a segment, white
//! space, control characters, `*`, `>`, `%`, and a `=` at the start are written as `%XX`, byte by
//! byte. An empty segment is `%`. A key follows a segment `=`, as one segment. The end of a topic has the
//! segments `=` and `=`.
//!
//! So each topic and key has one subject, and each subject has at most one topic and key. A subject
//! in another spelling is junk.

use std::fmt::Write as _;

use crate::hub::{backend::wanted::Wanted, topic::Topic};

/// The segment in front of a key.
const KEY: &str = ".=.";
/// What follows the topic in the subject of its end. No key is written like this.
const END: &str = ".=.=";

/// The most filters of a consumer. With many filters a server delivers a few hundred entries per
/// second, with one it delivers hundreds of thousands.
const MAX_FILTERS: usize = 8;

/// The first part of all subjects of a hub: one segment or several.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    prefix: Box<str>,
}

/// Which subjects a read needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filters {
    /// All wanted subjects and no others, for servers that know several filters. Empty if that takes
    /// too many filters.
    pub(super) exact: Vec<String>,
    /// One filter that matches all wanted subjects, and maybe others.
    pub(super) cover: String,
}

impl Subjects {
    /// Returns `None` if the prefix is not one or more plain segments.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let is_plain = |segment: &str| {
            !segment.is_empty()
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        prefix.split('.').all(is_plain).then(|| Self { prefix: prefix.into() })
    }

    /// Returns the filter that matches all subjects.
    pub(super) fn all(&self) -> String {
        format!("{}.>", self.prefix)
    }

    pub(super) fn encode(&self, topic: &str, key: Option<&str>) -> String {
        let mut subject = String::with_capacity(self.prefix.len() + topic.len() + 8);
        subject.push_str(&self.prefix);
        for segment in topic.split('.') {
            subject.push('.');
            push_segment(segment, Dots::Keep, &mut subject);
        }
        if let Some(key) = key {
            subject.push_str(KEY);
            push_segment(key, Dots::Escape, &mut subject);
        }
        subject
    }

    /// Returns the subject of the end of a topic.
    pub(super) fn end(&self, topic: &str) -> String {
        self.encode(topic, None) + END
    }

    /// Returns the topic of the subject of an end.
    pub(super) fn decode_end(&self, subject: &str) -> Option<Topic> {
        self.decode(subject.strip_suffix(END)?).map(|(topic, _)| topic)
    }

    /// Returns the topic and the key, or `None` if [`encode`](Self::encode) never returns this
    /// subject.
    pub(super) fn decode(&self, subject: &str) -> Option<(Topic, Option<String>)> {
        let rest = subject.strip_prefix(&*self.prefix)?.strip_prefix('.')?;
        let (topic, key) = match rest.split_once(KEY) {
            Some((topic, key)) => (topic, Some(key)),
            None => (rest, None),
        };
        // Most subjects have nothing to decode.
        let topic = if topic.contains('%') {
            let segments: Vec<_> = topic.split('.').map(decode_segment).collect::<Option<_>>()?;
            Topic::try_from(segments.join(".")).ok()?
        } else {
            Topic::try_from(topic).ok()?
        };
        let key = match key {
            Some(key) => Some(decode_segment(key)?),
            None => None,
        };
        (self.encode(topic.as_str(), key.as_deref()) == subject).then_some((topic, key))
    }

    /// Returns the subjects of all entries of the wanted topics.
    pub(super) fn of_topics(&self, wanted: &Wanted) -> Filters {
        let of_name = |name: &Topic| {
            let subject = self.encode(name.as_str(), None);
            let keys = format!("{subject}{KEY}*");
            vec![subject, keys]
        };
        self.filters(wanted, of_name, |pattern| {
            let filter = self.pattern(pattern);
            if pattern.ends_with('>') {
                return vec![filter];
            }
            let keys = format!("{filter}{KEY}*");
            vec![filter, keys]
        })
    }

    /// Returns the subjects of the entries of the wanted topics that have a key.
    pub(super) fn of_keys(&self, wanted: &Wanted) -> Filters {
        let of_name = |name: &Topic| vec![format!("{}{KEY}*", self.encode(name.as_str(), None))];
        self.filters(wanted, of_name, |pattern| {
            let filter = self.pattern(pattern);
            // `a.>` also matches the keys of its topics.
            if pattern.ends_with('>') { vec![filter] } else { vec![format!("{filter}{KEY}*")] }
        })
    }

    /// Returns the filters that match all entries of a topic.
    pub(super) fn of_topic(&self, topic: &Topic) -> [String; 2] {
        let subject = self.encode(topic.as_str(), None);
        let keys = format!("{subject}{KEY}*");
        [subject, keys]
    }

    fn filters(
        &self,
        wanted: &Wanted,
        of_name: impl Fn(&Topic) -> Vec<String>,
        of_pattern: impl Fn(&str) -> Vec<String>,
    ) -> Filters {
        if wanted.is_all() {
            return Filters { exact: vec![self.all()], cover: self.all() };
        }
        let patterns: Vec<_> = wanted.patterns().collect();
        // A server refuses filters that overlap, as those of a pattern and of another one may.
        let is_exact = patterns.is_empty() || (patterns.len() == 1 && wanted.names().is_empty());
        let names = wanted.names().iter().flat_map(of_name);
        let all: Vec<_> = names.chain(patterns.iter().flat_map(|it| of_pattern(it))).collect();
        let cover = self.cover(&all);
        let exact = if is_exact && all.len() <= MAX_FILTERS { all } else { Vec::new() };
        Filters { exact, cover }
    }

    /// Returns the longest filter that matches all these filters.
    fn cover(&self, filters: &[String]) -> String {
        if let [filter] = filters {
            return filter.clone();
        }
        let mut common: Option<Vec<&str>> = None;
        for filter in filters {
            let is_plain = |segment: &&str| !matches!(*segment, "*" | ">");
            let segments: Vec<_> = filter.split('.').take_while(is_plain).collect();
            // The last segment is left to the wildcard, which matches at least one.
            let max = segments.len().min(filter.split('.').count() - 1);
            common = Some(match common {
                None => segments[..max].to_vec(),
                Some(common) => {
                    let pairs = common.iter().zip(&segments[..max]);
                    pairs.take_while(|(a, b)| a == b).map(|(a, _)| *a).collect()
                }
            });
        }
        match common {
            Some(common) if !common.is_empty() => format!("{}.>", common.join(".")),
            _ => self.all(),
        }
    }

    fn pattern(&self, pattern: &str) -> String {
        let mut filter = self.prefix.to_string();
        for segment in pattern.split('.') {
            filter.push('.');
            if matches!(segment, "*" | ">") {
                filter.push_str(segment);
            } else {
                push_segment(segment, Dots::Keep, &mut filter);
            }
        }
        filter
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dots {
    /// The text has no dots.
    Keep,
    Escape,
}

fn push_segment(text: &str, dots: Dots, subject: &mut String) {
    if text.is_empty() {
        subject.push('%');
    }
    for (at, char) in text.char_indices() {
        let is_escaped = match char {
            '*' | '>' | '%' => true,
            '=' => at == 0,
            '.' => dots == Dots::Escape,
            char => char.is_whitespace() || char.is_control(),
        };
        if !is_escaped {
            subject.push(char);
            continue;
        }
        for byte in char.encode_utf8(&mut [0; 4]).bytes() {
            // Writing to a `String` does not fail.
            let _written = write!(subject, "%{byte:02X}");
        }
    }
}

fn decode_segment(segment: &str) -> Option<String> {
    if segment == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((plain, escaped)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(u8::from_str_radix(escaped.get(..2)?, 16).ok()?);
        rest = &escaped[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn subjects() -> Subjects {
        Subjects::new("events").unwrap()
    }

    fn wanted(names: &[&str], patterns: &[&str]) -> Wanted {
        let names = names.iter().map(|name| name.parse().unwrap());
        Wanted::new(names, patterns.iter().copied()).unwrap()
    }

    /// Whether a subject matches a filter, as a server decides it.
    fn matches(filter: &str, subject: &str) -> bool {
        let mut segments = subject.split('.');
        for wanted in filter.split('.') {
            match (wanted, segments.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                (wanted, Some(segment)) if wanted == "*" || wanted == segment => {}
                (_, Some(_)) => return false,
            }
        }
        segments.next().is_none()
    }

    #[test]
    fn plain_names_stay_as_they_are() {
        for (topic, key, subject) in [
            ("orders.eu", None, "events.orders.eu"),
            ("orders", Some("7"), "events.orders.=.7"),
            ("a b", None, "events.a%20b"),
            ("a..b", None, "events.a.%.b"),
            ("=", Some("="), "events.%3D.=.%3D"),
            ("a=b", Some("a=b"), "events.a=b.=.a=b"),
            ("*.>", Some("*.>"), "events.%2A.%3E.=.%2A%2E%3E"),
            ("100%", Some(""), "events.100%25.=.%"),
            ("\u{e4}", Some("\n"), "events.\u{e4}.=.%0A"),
        ] {
            assert_eq!(subjects().encode(topic, key), subject);
            let decoded = subjects().decode(subject).unwrap();
            assert_eq!((decoded.0.as_str(), decoded.1.as_deref()), (topic, key));
        }
    }

    #[test]
    fn other_subjects_are_junk() {
        let long = format!("events.{}", "x".repeat(256));
        for junk in [
            "events",
            "events.",
            "eventsa.b",
            "other.a",
            "events.%41",
            "events.a%",
            "events.%zz",
            "events.%e",
            "events.%2a",
            "events.%+1",
            "events.%FF",
            "events.%0A",
            "events.a.=",
            "events.=.a",
            "events.a.=.b.c",
            "events.a.=.b.=.c",
            "events.a*",
            "events.a%\u{e4}",
            &long,
        ] {
            assert_eq!(subjects().decode(junk), None, "{junk}");
        }
    }

    #[test]
    fn a_prefix_is_plain_segments() {
        for fine in ["events", "a.b-c.D_1"] {
            assert!(Subjects::new(fine).is_some(), "{fine}");
        }
        for wrong in ["", ".", "a.", "a b", "*", ">", "a.%", "\u{e4}", "$JS"] {
            assert!(Subjects::new(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_longest_topic_fits_into_a_subject() {
        assert!(subjects().encode(&"\u{2028}".repeat(85), None).len() < 800);
    }

    #[test]
    fn a_read_has_exact_filters_if_they_are_few() {
        let filters = |names: &[&str], patterns: &[&str]| {
            let filters = subjects().of_topics(&wanted(names, patterns));
            (filters.exact.join(" "), filters.cover)
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(filters(&["a"], &[]), pair("events.a events.a.=.*", "events.>"));
        assert_eq!(filters(&["a.b"], &[]), pair("events.a.b events.a.b.=.*", "events.a.>"));
        assert_eq!(filters(&[], &["a.>"]), pair("events.a.>", "events.a.>"));
        assert_eq!(filters(&[], &["a.*"]), pair("events.a.* events.a.*.=.*", "events.a.>"));
        assert_eq!(filters(&["a.b.c"], &["a.b.*"]), pair("", "events.a.b.>"));
        assert_eq!(filters(&["a", "b"], &["c.>"]), pair("", "events.>"));
        assert_eq!(subjects().of_keys(&wanted(&["a"], &[])).cover, "events.a.=.*");
        let many: Vec<_> = (0..5).map(|n| format!("a.{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(filters(&many, &[]), pair("", "events.a.>"));
    }

    /// Text of the characters that mean something here.
    fn odd_text(len: std::ops::Range<usize>) -> impl Strategy<Value = String> {
        let chars: Vec<_> = "aAb2..*>%= \u{e9}\u{a0}\u{2028}\u{1f600}/~$_-E".chars().collect();
        prop::collection::vec(prop::sample::select(chars), len).prop_map(String::from_iter)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn every_topic_and_key_has_a_subject_of_its_own(
            all in prop::collection::vec((odd_text(1..8), prop::option::of(odd_text(0..5))), 1..50),
        ) {
            let mut seen = HashMap::new();
            for (topic, key) in all {
                let subject = subjects().encode(&topic, key.as_deref());
                prop_assert!(!subject.contains([' ', '*', '>']), "{}", subject);
                prop_assert!(subject.split('.').all(|segment| !segment.is_empty()), "{}", subject);
                let (found, found_key) = subjects().decode(&subject).unwrap();
                prop_assert_eq!((found.as_str(), &found_key), (&*topic, &key), "{}", &subject);
                let of_other = seen.insert(subject, (topic.clone(), key.clone()));
                prop_assert!(of_other.is_none_or(|other| other == (topic, key)));
            }
        }

        #[test]
        fn the_filters_match_what_is_wanted(
            topics in prop::collection::vec("[a-c]{1}(\\.[a-c%= ]{0,2}){0,3}", 1..6),
            key in prop::option::of("[a.*]{0,3}"),
            names in prop::collection::vec("[a-c]{1}(\\.[a-c%= ]{0,2}){0,3}", 0..4),
            patterns in prop::collection::vec("([a-c]|\\*)(\\.([a-c]|\\*)){0,2}(\\.>)?", 0..3),
        ) {
            let names = names.iter().map(|name| name.parse().unwrap());
            let wanted = Wanted::new(names, patterns.iter().map(String::as_str)).unwrap();
            for topic in topics {
                let subject = subjects().encode(&topic, key.as_deref());
                let mut all = vec![subjects().of_topics(&wanted)];
                if key.is_some() {
                    all.push(subjects().of_keys(&wanted));
                }
                for filters in all.iter().filter(|_| wanted.takes(&topic)) {
                    prop_assert!(matches(&filters.cover, &subject), "{} {:?}", subject, filters);
                    let is_matched = filters.exact.iter().any(|it| matches(it, &subject));
                    prop_assert!(is_matched || filters.exact.is_empty(), "{} {:?}", subject, filters);
                }
            }
        }
    }
}
