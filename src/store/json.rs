//! Payloads that are JSON objects: each leaf becomes a field.
//!
//! The name of a field fixes its type, whatever clients send, so that no message can conflict with
//! one before it: strings have names that end in `_str`, floats never have. Neither has a name that
//! the mapping itself or InfluxDB uses.

use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::line::{Fields, push_float, push_quoted, push_signed, push_unsigned};
use super::series::FIELD_NAME_LEN_MAX;

/// The most fields of one point: InfluxDB keeps each name for ever.
const FIELDS_MAX: usize = 256;

/// The deepest nesting, the outermost object included; it bounds the stack.
const DEPTH_MAX: usize = 64;

/// The longest path of a leaf, in bytes. It bounds how much longer than its payload a line can be.
const PATH_LEN_MAX: usize = 255;

/// Ends the names of strings.
const STRING_SUFFIX: &str = "_str";

/// Ends the names of floats that would otherwise have the name of something else.
const FLOAT_SUFFIX: &str = "_num";

// Each byte of a path can be escaped.
const _: () = assert!(2 * PATH_LEN_MAX + STRING_SUFFIX.len() <= FIELD_NAME_LEN_MAX);
const _: () = assert!(2 * PATH_LEN_MAX + FLOAT_SUFFIX.len() <= FIELD_NAME_LEN_MAX);

/// Names that no float may have: the strings of the mapping, the tag, and `time`, which InfluxDB
/// drops without a word.
const RESERVED: [&str; 5] = ["payload", "payload_base64", "topic_exact", "topic", "time"];

/// Appends a field for each leaf of a JSON object. Where `text` is none, or one beyond the limits
/// above, there are no fields after it; `fields` is empty before.
///
/// Numbers and booleans (1 and 0) are floats, named by their path: keys, and indices of arrays,
/// joined by `_`. Strings have `_str` at the end of their name. Null gives no field. Two leaves may
/// have the same name: InfluxDB keeps the later.
pub(super) fn push_leaves(text: &str, fields: &mut Fields<'_>) {
    if !text.trim_ascii_start().starts_with('{') {
        return;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut flattener = Flattener {
        fields,
        path: String::new(),
        depth: 0,
        leaves: 0,
    };
    let flattened = Node(&mut flattener)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    if flattened.is_err() {
        fields.clear();
    }
}

/// Walks through an object.
struct Flattener<'f, 'o> {
    fields: &'f mut Fields<'o>,
    /// The way to where the walk is, as it will stand in names, but without escapes.
    path: String,
    /// How many objects and arrays are open.
    depth: usize,
    /// How many fields there are.
    leaves: usize,
}

impl Flattener<'_, '_> {
    /// Enters an object or an array.
    fn open<E: Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(E::custom("nested too deeply"));
        }
        Ok(())
    }

    /// Adds a step to the path, whose end is at `parent`.
    fn step(&mut self, parent: usize) {
        self.path.truncate(parent);
        if self.depth > 1 {
            self.path.push('_');
        }
    }

    /// Begins the field of a string.
    fn begin_string<E: Error>(&mut self) -> Result<&mut Vec<u8>, E> {
        self.begin(STRING_SUFFIX)
    }

    /// Begins the field of a number or a boolean.
    fn begin_float<E: Error>(&mut self) -> Result<&mut Vec<u8>, E> {
        let is_taken = self.path.ends_with(STRING_SUFFIX) || RESERVED.contains(&self.path.as_str());
        self.begin(if is_taken { FLOAT_SUFFIX } else { "" })
    }

    fn begin<E: Error>(&mut self, suffix: &str) -> Result<&mut Vec<u8>, E> {
        self.leaves += 1;
        if self.leaves > FIELDS_MAX {
            return Err(E::custom("too many leaves"));
        }
        if self.path.len() > PATH_LEN_MAX {
            return Err(E::custom("a path is too long"));
        }
        Ok(self.fields.begin_escaped(&self.path, suffix))
    }
}

/// One value of the JSON text, wherever it stands.
struct Node<'a, 'f, 'o>(&'a mut Flattener<'f, 'o>);

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.begin_float()?.push(if value { b'1' } else { b'0' });
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        push_unsigned(value, self.0.begin_float()?);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        push_signed(value, self.0.begin_float()?);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        push_float(value, self.0.begin_float()?);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        push_quoted(value, self.0.begin_string()?);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let flattener = self.0;
        flattener.open()?;
        let parent = flattener.path.len();
        for index in 0_usize.. {
            flattener.step(parent);
            write!(flattener.path, "{index}").expect("a string takes every write");
            if elements.next_element_seed(Node(flattener))?.is_none() {
                break;
            }
        }
        flattener.path.truncate(parent);
        flattener.depth -= 1;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let flattener = self.0;
        flattener.open()?;
        let parent = flattener.path.len();
        flattener.step(parent);
        while entries.next_key_seed(Key(&mut flattener.path))?.is_some() {
            entries.next_value_seed(Node(flattener))?;
            flattener.step(parent);
        }
        flattener.path.truncate(parent);
        flattener.depth -= 1;
        Ok(())
    }
}

/// The key of an entry, which is appended to a path.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        // A name can hold neither a newline nor a backslash, and nobody can type the others.
        self.0.extend(
            key.chars()
                .map(|c| if c.is_control() || c == '\\' { '_' } else { c }),
        );
        if self.0.is_empty() {
            self.0.push('_');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{DEPTH_MAX, FIELDS_MAX, PATH_LEN_MAX, RESERVED, push_leaves};
    use crate::store::line::Fields;

    #[test]
    fn flattens() {
        for (json, fields) in [
            (r#"{"t":21.5}"#, "t=21.5"),
            (" \r\n\t{ \"t\" : 1 } \n", "t=1"),
            (r#"{"a":{"b":1,"c":{"d":2}},"e":3}"#, "a_b=1,a_c_d=2,e=3"),
            (
                r#"{"a":[1,[2,{"b":3}],4],"c":5}"#,
                "a_0=1,a_1_0=2,a_1_1_b=3,a_2=4,c=5",
            ),
            (r#"{"on":true,"off":false}"#, "on=1,off=0"),
            (r#"{"s":"x","v":1}"#, r#"s_str="x",v=1"#),
            (
                r#"{"s":"say \"hi\"\\ \u00e9\n","v":1}"#,
                "s_str=\"say \\\"hi\\\"\\\\ é\n\",v=1",
            ),
            (r#"{"a":null,"b":1,"c":[null,2]}"#, "b=1,c_1=2"),
            // No leaves.
            ("{}", ""),
            (r#"{"a":null,"b":{},"c":[]}"#, ""),
            // Numbers.
            (
                r#"{"a":-5,"b":1e3,"c":-0,"d":1e300}"#,
                "a=-5,b=1000,c=-0,d=1e300",
            ),
            (r#"{"a":18446744073709551615}"#, "a=18446744073709551615"),
            (r#"{"a":18446744073709551616}"#, "a=1.8446744073709552e19"),
            // Every digit of a float counts.
            (
                r#"{"a":0.30000000000000004,"b":8.41e21}"#,
                "a=0.30000000000000004,b=8.41e21",
            ),
            // Keys.
            (
                r#"{"a b":1,"c,d":2,"e=f":3,"g\"h":4,"°":5}"#,
                "a\\ b=1,c\\,d=2,e\\=f=3,g\"h=4,°=5",
            ),
            (
                r#"{"a\nb":1,"c\\":2,"d\u007f":3,"\r":4}"#,
                "a_b=1,c_=2,d_=3,_=4",
            ),
            (r#"{"":1}"#, "_=1"),
            (r#"{"":"x"}"#, r#"__str="x""#),
            (r#"{"":{"":1},"a":{"":2}}"#, "__=1,a_=2"),
            // Names that fix a type, or that are taken.
            (r#"{"x_str":1,"x":{"str":2}}"#, "x_str_num=1,x_str_num=2"),
            (r#"{"x_str":"y","x":"z"}"#, r#"x_str_str="y",x_str="z""#),
            (
                r#"{"time":1,"topic":2,"payload":3}"#,
                "time_num=1,topic_num=2,payload_num=3",
            ),
            (
                r#"{"time":"a","topic":"b"}"#,
                r#"time_str="a",topic_str="b""#,
            ),
            (
                r#"{"payload":{"base64":1},"topic\\exact":2}"#,
                "payload_base64_num=1,topic_exact_num=2",
            ),
            (r#"{"value":1,"Time":2}"#, "value=1,Time=2"),
            // The same name twice.
            (r#"{"a_b":1,"a":{"b":2}}"#, "a_b=1,a_b=2"),
        ] {
            assert_eq!(flattened(json), fields, "{json}");
        }
    }

    #[test]
    fn leaves_nothing_of_what_is_no_object() {
        for text in [
            "",
            " ",
            "[1]",
            "\"{}\"",
            "x{}",
            "{",
            r#"{"a":1"#,
            r#"{"a":1}}"#,
            r#"{"a":1} x"#,
            r#"{"a":1,}"#,
            r#"{"a":1,b:2}"#,
            r#"{"a":01}"#,
            r#"{"a":1,"b":1e400}"#,
            r#"{"a":1,"b":NaN}"#,
            "{\"a\":1,\"b\":\"\n\"}",
            r#"{"a":1,"b":"\ud800"}"#,
            "\u{feff}{\"a\":1}",
            "\x0c{\"a\":1}",
        ] {
            assert_eq!(flattened(text), "", "{text:?}");
        }
    }

    #[test]
    fn keeps_to_its_limits() {
        let nested = |depth: usize| {
            let arrays = depth - 1;
            format!("{{\"a\":{}1{}}}", "[".repeat(arrays), "]".repeat(arrays))
        };
        assert_eq!(
            flattened(&nested(DEPTH_MAX)),
            format!("a{}=1", "_0".repeat(DEPTH_MAX - 1))
        );
        assert_eq!(flattened(&nested(DEPTH_MAX + 1)), "");
        assert_eq!(flattened(&nested(100_000)), "");

        let wide = |leaves: usize| format!("{{\"a\":[null{}]}}", ",1".repeat(leaves));
        assert_eq!(flattened(&wide(FIELDS_MAX)).split(',').count(), FIELDS_MAX);
        assert_eq!(flattened(&wide(FIELDS_MAX + 1)), "");

        let long = |len: usize| format!("{{\"{}\":\"\"}}", "=".repeat(len));
        assert_eq!(
            flattened(&long(PATH_LEN_MAX)).len(),
            2 * PATH_LEN_MAX + "_str=\"\"".len()
        );
        assert_eq!(flattened(&long(PATH_LEN_MAX + 1)), "");
    }

    /// Whatever the keys, no float has a string's name, and nothing has a reserved one.
    #[test]
    fn fixes_the_type_of_every_name() {
        let pieces = [
            "", "_", "str", "num", "_str", "_num", "payload", "base64", "topic", "exact", "time",
            "x", "\\n", "\\\\",
        ];
        let mut keys: HashSet<String> = HashSet::from([String::new()]);
        for _ in 0..3 {
            let longer: Vec<String> = keys
                .iter()
                .flat_map(|key| pieces.map(|piece| format!("{key}{piece}")))
                .collect();
            keys.extend(longer);
        }
        let mut floats = HashSet::new();
        let mut strings =
            HashSet::from(["payload", "payload_base64", "topic_exact"].map(str::to_owned));
        for key in &keys {
            floats.insert(name_of(&format!("{{\"{key}\":1}}")));
            strings.insert(name_of(&format!("{{\"{key}\":\"\"}}")));
            for inner in pieces {
                floats.insert(name_of(&format!("{{\"{key}\":{{\"{inner}\":1}}}}")));
                floats.insert(name_of(&format!("{{\"{inner}\":{{\"{key}\":[1]}}}}")));
                strings.insert(name_of(&format!("{{\"{key}\":{{\"{inner}\":\"\"}}}}")));
            }
        }
        assert!(floats.len() > 1_000 && strings.len() > 1_000);
        assert_eq!(floats.intersection(&strings).next(), None);
        for name in RESERVED.into_iter().chain([""]) {
            assert!(!floats.contains(name), "{name:?}");
        }
        assert!(!strings.contains("time") && !strings.contains("topic") && !strings.contains(""));
    }

    fn flattened(text: &str) -> String {
        let mut out = b"m ".to_vec();
        push_leaves(text, &mut Fields::new(&mut out));
        let line = String::from_utf8(out).expect("UTF-8 in, UTF-8 out");
        line.strip_prefix("m ")
            .expect("only fields change")
            .to_owned()
    }

    fn name_of(json: &str) -> String {
        let field = flattened(json);
        let (name, _) = field.split_once('=').expect(json);
        name.to_owned()
    }
}
