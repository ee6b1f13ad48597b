//! What the gaps of a template are filled from.

use std::borrow::Cow;

use serde_json::Value;

use super::Message;
use crate::config::rule::{Part, PayloadKind, Template};
use crate::store::base64::push_base64;

/// One point's view of its message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) topic: &'a str,
    pub(super) message: &'a Message<'a>,
    pub(super) kind: PayloadKind,
    /// The payload, where the rule reads it as JSON.
    pub(super) document: Option<&'a Value>,
    /// The element of an array that is this point, where there is one.
    pub(super) element: Option<&'a Value>,
}

/// What stands in a gap.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found<'a> {
    /// A value of JSON, which is not null.
    Json(&'a Value),
    /// A whole payload, which may be read as a number.
    Payload(Cow<'a, str>),
    /// A text.
    Text(Cow<'a, str>),
}

impl<'a> Found<'a> {
    /// As text: strings as they are, the rest as JSON.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Json(Value::String(text)) => Cow::Borrowed(text),
            Self::Json(value) => Cow::Owned(value.to_string()),
            Self::Payload(text) | Self::Text(text) => text,
        }
    }
}

impl<'a> Scope<'a> {
    /// What `template` is; `None` where the message does not have all of it.
    pub(super) fn fill(&self, template: &'a Template) -> Option<Found<'a>> {
        match template.parts.as_slice() {
            [part] => self.part(part),
            parts => {
                let mut text = String::new();
                for part in parts {
                    text.push_str(&self.part(part)?.into_text());
                }
                Some(Found::Text(Cow::Owned(text)))
            }
        }
    }

    /// What stands at `path`: in the element, or else in the whole document, so that what an array's
    /// elements share can stand beside it.
    pub(super) fn at(&self, path: &[String]) -> Option<&'a Value> {
        let within = |root: Option<&'a Value>| find(root?, path);
        within(self.element)
            .or_else(|| within(self.document))
            .filter(|value| !value.is_null())
    }

    /// What the point has as its payload: the element, or all of it.
    pub(super) fn content(&self) -> Cow<'a, [u8]> {
        match self.element {
            Some(element) => Cow::Owned(element.to_string().into_bytes()),
            None => Cow::Borrowed(self.message.payload),
        }
    }

    fn part(&self, part: &'a Part) -> Option<Found<'a>> {
        let text = |text: &'a str| Found::Text(Cow::Borrowed(text));
        Some(match part {
            Part::Text(literal) => text(literal),
            Part::Level(position) => text(self.topic.split('/').nth(*position)?),
            Part::Topic => text(self.topic),
            Part::ClientId => text(self.message.client_id),
            Part::UserName => text(self.message.user_name),
            Part::Payload(path) if path.is_empty() => self.payload()?,
            Part::Payload(path) => Found::Json(self.at(path)?),
        })
    }

    fn payload(&self) -> Option<Found<'a>> {
        if let Some(value) = self.element.or(self.document) {
            return Some(Found::Json(value)).filter(|_| !value.is_null());
        }
        if self.kind == PayloadKind::Base64 {
            let mut digits = Vec::new();
            push_base64(self.message.payload, &mut digits);
            return String::from_utf8(digits)
                .ok()
                .map(|it| Found::Text(it.into()));
        }
        let text = Cow::Borrowed(str::from_utf8(self.message.payload).ok()?);
        Some(match self.kind {
            PayloadKind::Text => Found::Text(text),
            _ => Found::Payload(text),
        })
    }
}

/// What stands at `path` in `root`: keys of objects, and positions in arrays.
pub(super) fn find<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, step| match value {
        Value::Array(elements) => elements.get(step.parse::<usize>().ok()?),
        value => value.get(step.as_str()),
    })
}
