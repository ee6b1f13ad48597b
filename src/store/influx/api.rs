//! The ways in which InfluxDB takes points.

use std::fmt;

use reqwest::Url;

use super::transport::TransportError;
use crate::config::{Config, InfluxApi};

/// One of InfluxDB's interfaces for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// `/write?db=` of 1.x.
    V1,
    /// `/api/v2/write?org=&bucket=` of 2.x.
    V2,
    /// `/api/v3/write_lp?db=` of 3.x.
    V3,
}

impl Api {
    /// The one that the operator has chosen, if any.
    pub(super) fn chosen(config: &Config) -> Option<Self> {
        match config.influx_api {
            InfluxApi::Auto => None,
            InfluxApi::V1 => Some(Self::V1),
            InfluxApi::V2 => Some(Self::V2),
            InfluxApi::V3 => Some(Self::V3),
        }
    }

    /// The one that is right for this version, as `X-Influxdb-Version` has it: 1.x and 3.x say
    /// `1.8.10` and `3.2.1`, 2.x says `v2.7.12`. `None` for what is no version.
    pub(super) fn of_version(version: &str) -> Option<Self> {
        let digits = version.strip_prefix('v').unwrap_or(version);
        let major: u32 = digits.split('.').next()?.parse().ok()?;
        Some(match major {
            0 | 1 => Self::V1,
            2 => Self::V2,
            3.. => Self::V3,
        })
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "/write",
            Self::V2 => "/api/v2/write",
            Self::V3 => "/api/v3/write_lp",
        })
    }
}

/// Where to write by each interface.
#[derive(Debug)]
pub(super) struct WriteUrls {
    v1: Url,
    v2: Url,
    v3: Url,
}

impl WriteUrls {
    /// Those below `base`, which has no slash at its end.
    pub(super) fn new(base: &str, config: &Config) -> Result<Self, TransportError> {
        let below = |api: Api| {
            let url = Url::parse(&format!("{base}{api}"));
            url.map_err(|error| TransportError::Client(error.to_string()))
        };
        let database = &config.influx_database;
        let mut v1 = below(Api::V1)?;
        v1.query_pairs_mut()
            .append_pair("db", database)
            .append_pair("precision", "ns")
            .extend_pairs(config.influx_retention_policy.iter().map(|it| ("rp", it)));
        let mut v2 = below(Api::V2)?;
        v2.query_pairs_mut()
            .extend_pairs(config.influx_org.iter().map(|it| ("org", it)))
            .append_pair("bucket", config.influx_bucket.as_ref().unwrap_or(database))
            .append_pair("precision", "ns");
        let mut v3 = below(Api::V3)?;
        v3.query_pairs_mut()
            .append_pair("db", database)
            .append_pair("precision", "nanosecond")
            // The good lines of a write are stored, and the others named.
            .append_pair("accept_partial", "true")
            // The answer comes when the points are in the log of InfluxDB, on its disk.
            .append_pair("no_sync", "false");
        Ok(Self { v1, v2, v3 })
    }

    pub(super) fn of(&self, api: Api) -> &Url {
        match api {
            Api::V1 => &self.v1,
            Api::V2 => &self.v2,
            Api::V3 => &self.v3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_versions() {
        for (version, api) in [
            ("1.6.7", Some(Api::V1)),
            ("1.12.1-c1.12.1", Some(Api::V1)),
            ("0.13.0", Some(Api::V1)),
            ("v2.7.12", Some(Api::V2)),
            ("2.0.0-rc", Some(Api::V2)),
            ("3.2.1", Some(Api::V3)),
            ("4.0.0", Some(Api::V3)),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(Api::of_version(version), api, "{version:?}");
        }
    }
}
