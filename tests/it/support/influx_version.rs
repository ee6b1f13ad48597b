//! How each version of InfluxDB answers, word by word.
//!
//! 1.6.7 is as the real one was seen to answer. 2.x is from its documentation ("Troubleshoot issues
//! writing data", InfluxDB OSS v2) and from answers of 2.7 in bug reports; 3.x from its documentation
//! ("Use the v3 write_lp API") and from what the public server source (`influxdb3_server`, `http.rs`)
//! makes of each error.

use serde_json::{Value, json};

/// A version of InfluxDB. In a write it stores the good lines as it does; a line with `clash` has a
/// field of another type than before, and one with `malformed` is no line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    #[default]
    V1,
    V2,
    V3,
    /// A compatible server without `/ping` that writes as 2.x and names no version.
    Nameless,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<&'static str>,
    pub(crate) body: String,
}

impl Reply {
    fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            retry_after: None,
            body: body.into(),
        }
    }

    fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string())
    }

    pub(crate) fn no_content() -> Self {
        Self::text(204, "")
    }

    /// As 1.x says it.
    pub(crate) fn error(status: u16, error: &str) -> Self {
        Self::json(status, &json!({ "error": error }))
    }

    /// As 2.x says it.
    fn message(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({ "code": code, "message": message }))
    }
}

impl Version {
    /// The bytes of a response.
    pub(crate) fn response(self, reply: &Reply) -> Vec<u8> {
        let mut headers = match self {
            Self::V1 => "X-Influxdb-Build: OSS\r\nX-Influxdb-Version: 1.6.7\r\n",
            Self::V2 => "X-Influxdb-Build: OSS\r\nX-Influxdb-Version: v2.7.12\r\n",
            Self::V3 if reply.status == 200 => {
                "X-Influxdb-Build: Core\r\nX-Influxdb-Version: 3.2.1\r\n"
            }
            Self::V3 | Self::Nameless => "",
        }
        .to_owned();
        if let Some(when) = reply.retry_after {
            headers += &format!("Retry-After: {when}\r\n");
        }
        // A 204 has no body, and says no length.
        if reply.status != 204 {
            headers += &format!("Content-Length: {}\r\n", reply.body.len());
        }
        let head = format!("HTTP/1.1 {} Scripted\r\n{headers}\r\n", reply.status);
        [head, reply.body.clone()].concat().into_bytes()
    }

    /// Whether this is where points are written to, below `/prefix` or not.
    pub(crate) fn is_write(self, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        let path = path.strip_prefix("/prefix").unwrap_or(path);
        path == match self {
            Self::V1 => "/write",
            Self::V2 | Self::Nameless => "/api/v2/write",
            Self::V3 => "/api/v3/write_lp",
        }
    }

    /// What stands before the token.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::V1 | Self::V3 => "Bearer",
            Self::V2 | Self::Nameless => "Token",
        }
    }

    pub(crate) fn other_than_write(self, target: &str, is_authorized: bool) -> Reply {
        match self {
            Self::V1 if target.starts_with("/ping") => Reply::no_content(),
            Self::V1 => Reply::text(200, r#"{"results":[{"statement_id":0}]}"#),
            Self::V2 if target.starts_with("/ping") => Reply::no_content(),
            Self::V2 => Reply::message(404, "not found", "path not found"),
            // Since 3.10 it asks for a token here too.
            Self::V3 if !is_authorized => self.unauthorized(),
            Self::V3 if target.starts_with("/ping") => {
                Reply::json(200, &json!({ "version": "3.2.1", "revision": "4f0b3d7" }))
            }
            Self::V3 => Reply::text(404, "not found"),
            Self::Nameless => Reply::text(400, "unsupported path requested"),
        }
    }

    pub(crate) fn unauthorized(self) -> Reply {
        match self {
            Self::V1 => Reply::error(401, "authorization failed"),
            Self::V2 | Self::Nameless => Reply::message(401, "unauthorized", "unauthorized access"),
            Self::V3 => Reply::error(401, "the request was not authenticated"),
        }
    }

    pub(crate) fn no_bucket(self) -> Reply {
        match self {
            Self::V1 => Reply::error(404, "database not found: \"mqtt_data\""),
            Self::V2 | Self::V3 | Self::Nameless => {
                Reply::message(404, "not found", "bucket \"mqtt_data\" not found")
            }
        }
    }

    pub(crate) fn empty_write(self) -> Reply {
        match self {
            Self::V1 | Self::Nameless => Reply::no_content(),
            Self::V2 => Reply::message(400, "invalid", "writing requires points"),
            Self::V3 => Reply::text(400, "incoming write was empty"),
        }
    }

    /// The answer to a write, and what is stored of it.
    pub(crate) fn write(self, body: &str) -> (Reply, String) {
        let is_malformed = |line: &&str| line.contains("malformed");
        let is_clash = |line: &&str| line.contains("clash");
        let is_good = |line: &&str| !is_malformed(line) && !is_clash(line);
        let stored: String = body.split_inclusive('\n').filter(is_good).collect();
        if stored == body {
            return (Reply::no_content(), stored);
        }
        let clashes = body.lines().filter(is_clash).count();
        match self {
            Self::V3 => {
                let data: Vec<Value> = body
                    .lines()
                    .enumerate()
                    .filter(|(_, line)| !is_good(line))
                    .map(|(index, line)| {
                        let error = match is_clash(&line) {
                            true => {
                                "invalid column type for column 'clash', expected \
                                 iox::column_type::field::string, got \
                                 iox::column_type::field::float"
                            }
                            false => "No fields were provided",
                        };
                        json!({
                            "original_line": line,
                            "line_number": index + 1,
                            "error_message": error,
                        })
                    })
                    .collect();
                let error = "partial write of line protocol occurred";
                let answer = json!({ "error": error, "data": data });
                (Reply::json(400, &answer), stored)
            }
            Self::V2 | Self::Nameless => match body.lines().find(is_malformed) {
                Some(line) => {
                    let message = format!("unable to parse '{line}': missing fields");
                    (Reply::message(400, "invalid", &message), String::new())
                }
                None => {
                    let message = format!(
                        "failure writing points to database: partial write: field type conflict: \
                         input field \"clash\" on measurement \"mqtt\" is type float, already \
                         exists as type string dropped={clashes}"
                    );
                    (
                        Reply::message(422, "unprocessable entity", &message),
                        stored,
                    )
                }
            },
            Self::V1 => {
                let error = format!(
                    "partial write: field type conflict: input field \"clash\" on measurement \
                     \"mqtt\" is type float, already exists as type string dropped={clashes}"
                );
                (Reply::error(400, &error), stored)
            }
        }
    }
}
