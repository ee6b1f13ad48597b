//! Settings that are one word out of a few.

/// A setting whose value is one of a few words.
pub(super) trait Choice: Copy + 'static {
    /// Each word and what it means, in the order in which errors and help name them.
    const WORDS: &'static [(&'static str, Self)];
}

/// Where messages are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In InfluxDB, before they are delivered or acknowledged.
    Influx,
    /// Nowhere: a broker without a store.
    Off,
}

impl Choice for StoreKind {
    const WORDS: &'static [(&'static str, Self)] = &[("influx", Self::Influx), ("off", Self::Off)];
}

/// How points are written to InfluxDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfluxApi {
    /// As the server's version wants it.
    Auto,
    /// `/write` of InfluxDB 1.x and of many servers that are compatible with it.
    V1,
    /// `/api/v2/write` of InfluxDB 2.x.
    V2,
    /// `/api/v3/write_lp` of InfluxDB 3.x.
    V3,
}

impl Choice for InfluxApi {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("1", Self::V1),
        ("2", Self::V2),
        ("3", Self::V3),
    ];
}

/// When a payload is kept as text beside the fields made from it.
///
/// A payload that gives no other field is kept in any case: a point must have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepPayload {
    /// Where its bytes cannot be rebuilt from the fields: always for JSON, and for numbers other
    /// than the shortest plain decimal text of their float, such as `21.50` or `1e3`.
    Lossy,
    /// With every message.
    Always,
    /// Never.
    Never,
}

impl Choice for KeepPayload {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("lossy", Self::Lossy),
        ("always", Self::Always),
        ("never", Self::Never),
    ];
}

/// What happens to a message for a client whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenQueueFull {
    /// The message is not queued for this client; it is counted and logged.
    Drop,
    /// The client is disconnected, with a logged reason.
    Disconnect,
}

impl Choice for WhenQueueFull {
    const WORDS: &'static [(&'static str, Self)] =
        &[("drop", Self::Drop), ("disconnect", Self::Disconnect)];
}

/// Whether clients of encrypted listeners need a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// None is asked for.
    None,
    /// One that is sent must be valid.
    Optional,
    /// Without a valid one nobody gets in.
    Required,
}

impl Choice for ClientCertificate {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("optional", Self::Optional),
        ("required", Self::Required),
    ];
}

/// Which name in a client's certificate says who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIdentity {
    /// None.
    None,
    /// The common name of the subject.
    Cn,
    /// The first DNS name, mail address or URI among the subject's alternative names.
    San,
}

impl Choice for ClientIdentity {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("cn", Self::Cn), ("san", Self::San)];
}

/// What happens to messages while InfluxDB does not take points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenInfluxIsAway {
    /// Their points go to the journal on disk, and to InfluxDB later.
    Journal,
    /// They are neither delivered nor acknowledged, and their publisher is disconnected.
    Refuse,
    /// They are delivered and acknowledged, and stored nowhere.
    Deliver,
}

impl Choice for WhenInfluxIsAway {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("journal", Self::Journal),
        ("refuse", Self::Refuse),
        ("deliver", Self::Deliver),
    ];
}
