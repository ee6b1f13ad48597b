//! Where clients are accepted, and how they talk there.

use std::fmt;
use std::net::SocketAddr;

use super::value::{Refusal, listen_addresses};

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// What the connections carry MQTT over.
    pub scheme: Scheme,
    /// Where; port 0 is any free one.
    pub address: SocketAddr,
}

/// What connections carry MQTT over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TCP.
    Mqtt,
    /// TLS.
    Mqtts,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Mqtt, Self::Mqtts, Self::Ws, Self::Wss];

    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Whether connections begin with HTTP.
    #[must_use]
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// As it stands in front of `://`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The listeners that `[SCHEME://]ADDR:PORT` names: several for a host name with several addresses.
pub(super) fn listeners(value: &str) -> Result<Vec<Listen>, Refusal> {
    let (scheme, address) = match value.split_once("://") {
        None => (Scheme::Mqtt, value),
        Some((name, address)) => {
            let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.name() == name);
            let unknown = || "expected one of mqtt://, mqtts://, ws:// and wss://".to_owned();
            (scheme.ok_or_else(unknown)?, address)
        }
    };
    let listen = |address| Listen { scheme, address };
    Ok(listen_addresses(address)?.into_iter().map(listen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_schemes() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for (text, scheme) in [
            ("127.0.0.1:1", Scheme::Mqtt),
            ("mqtt://127.0.0.1:1", Scheme::Mqtt),
            ("mqtts://127.0.0.1:1", Scheme::Mqtts),
            ("ws://127.0.0.1:1", Scheme::Ws),
            ("wss://127.0.0.1:1", Scheme::Wss),
        ] {
            assert_eq!(listeners(text), Ok(vec![Listen { scheme, address }]));
        }
        for bad in ["tls://127.0.0.1:1", "MQTT://127.0.0.1:1", "://127.0.0.1:1"] {
            let refusal = "expected one of mqtt://, mqtts://, ws:// and wss://".to_owned();
            assert_eq!(listeners(bad), Err(refusal), "{bad:?}");
        }
        assert!(listeners("ws://127.0.0.1:1/mqtt").is_err());
    }
}
