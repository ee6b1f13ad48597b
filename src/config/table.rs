//! Every setting, once. The order is that of `--help`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::listen::{Listen, Scheme, listeners};
use super::secret::Secret;
use super::setting::{DefaultValue, Kind, Setting};
use super::{log_filter, value};

/// The setting `name`, if there is one.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Every setting. A default is a choice for other people: its reason stands in the help.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "config",
        short: Some('c'),
        value_name: "FILE",
        kind: Kind::SettingsFile,
        unit: "file in TOML",
        help: "Read settings from FILE. Its keys are the names of the flags without dashes in \
               front: max-packet-size = \"1M\". Flags and environment variables win over it",
        apply: |config, value| {
            config.config_file = Some(PathBuf::from(value::name(value)?));
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "listen",
        group: LISTENING,
        value_name: "[SCHEME://]ADDR:PORT",
        kind: Kind::Many,
        default: DefaultValue::Text("0.0.0.0:1883"),
        unit: "mqtt://, mqtts://, ws:// or wss://; IPv4 address, [IPv6 address] or host name; \
               port, 0 is any free one",
        help: "Accept clients at this address; may be given many times. In the environment \
               commas stand between addresses. In front of an address mqtt:// is plain MQTT, as is \
               no scheme, mqtts:// is MQTT over TLS (8883 is its registered port), ws:// is MQTT \
               over WebSocket and wss:// is WebSocket over TLS, as browsers need it. 1883 is the registered port of MQTT, and \
               0.0.0.0 lets the sensors of a network in: listen on 127.0.0.1:1883 to stay alone",
        rival: Some("port"),
        apply: |config, value| {
            config.listen.extend(listeners(value)?);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "port",
        short: Some('p'),
        group: LISTENING,
        value_name: "PORT",
        unit: "0 to 65535; 0 is any free port",
        help: "Accept clients at this port of 0.0.0.0. Stands for --listen 0.0.0.0:PORT, which \
               cannot be given beside it",
        rival: Some("listen"),
        apply: |config, value| {
            let port = value::count(value, &(0..=u16::MAX))?;
            config.listen = vec![Listen {
                scheme: Scheme::Mqtt,
                address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            }];
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "websocket-path",
        group: LISTENING,
        value_name: "PATH",
        default: DefaultValue::Text("/mqtt"),
        help: "Path of WebSockets, as in ws://host:8080/mqtt. Others get 404. The default is what \
               most clients ask for",
        apply: |config, value| {
            config.websocket_path = value::path(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "tls-cert",
        group: TLS,
        value_name: "FILE",
        unit: "file in PEM",
        help: "Certificate of this server, with those between it and the root. SIGHUP reads all \
               files for TLS again, for new connections; those that exist go on",
        apply: |config, value| {
            config.tls_cert = value::optional_name(value)?.map(PathBuf::from);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "tls-key",
        group: TLS,
        value_name: "FILE",
        unit: "file in PEM",
        help: "Key of the certificate, not encrypted. Only the user of this server should be able \
               to read it",
        apply: |config, value| {
            config.tls_key = value::optional_name(value)?.map(PathBuf::from);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "tls-client-ca",
        group: TLS,
        value_name: "FILE",
        unit: "file in PEM",
        help: "Root certificates that vouch for clients",
        apply: |config, value| {
            config.tls_client_ca = value::optional_name(value)?.map(PathBuf::from);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "tls-client-cert",
        group: TLS,
        value_name: "WHETHER",
        default: DefaultValue::Text("none"),
        unit: "none, optional or required",
        help: "Whether clients need a certificate from --tls-client-ca. With none they are not \
               asked for one; with optional one that is sent must be valid. Listeners without TLS \
               never ask",
        apply: |config, value| {
            config.tls_client_cert = value::choice(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "tls-client-identity",
        group: TLS,
        value_name: "NAME",
        default: DefaultValue::Text("none"),
        unit: "none, cn or san",
        help: "Name in a client's certificate that counts as its user name. cn is the common name, \
               san the first DNS name, mail address or URI among the alternative names",
        apply: |config, value| {
            config.tls_client_identity = value::choice(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "password-file",
        group: ACCESS,
        value_name: "FILE",
        unit: "file in the format of mosquitto_passwd",
        help: "Let in who knows a password in FILE. \"mqtt-server passwd\" writes it, \
               mosquitto_passwd too. SIGHUP reads it again: users that are gone or have another \
               password are disconnected then",
        apply: |config, value| {
            config.password_file = value::optional_name(value)?.map(PathBuf::from);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "acl-file",
        group: ACCESS,
        value_name: "FILE",
        unit: "file with the syntax of Mosquitto's acl_file",
        help: "Let clients publish and read what FILE grants them, and nothing else. Its lines are \
               user NAME, topic [read|write|readwrite|deny] FILTER, and pattern with %u and %c in \
               the filter. SIGHUP reads it again",
        apply: |config, value| {
            config.acl_file = value::optional_name(value)?.map(PathBuf::from);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "allow-anonymous",
        group: ACCESS,
        value_name: "BOOL",
        default: DefaultValue::Computed("true, and false with --password-file"),
        unit: "true or false",
        help: "Let clients in that say no user name",
        apply: |config, value| {
            config.allow_anonymous = value::switch(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "store",
        group: INFLUXDB,
        value_name: "STORE",
        default: DefaultValue::Text("influx"),
        unit: "influx or off",
        help: "Where messages are stored before they are delivered and acknowledged. With off \
               nothing is stored: a broker alone",
        apply: |config, value| {
            config.store = value::choice(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-url",
        group: INFLUXDB,
        value_name: "URL",
        default: DefaultValue::Text("http://localhost:8086"),
        unit: "http[s]://HOST[:PORT][/PREFIX]",
        help: "Where InfluxDB answers. The default is where it listens when nobody has \
               configured it. A prefix stands before the paths of its interface, as compatible \
               servers and proxies may want it",
        apply: |config, value| {
            config.influx_url = value::influx_url(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-api",
        group: INFLUXDB,
        value_name: "VERSION",
        default: DefaultValue::Text("auto"),
        unit: "auto, 1, 2 or 3",
        help: "How points are written: 1 is /write, 2 is /api/v2/write, 3 is /api/v3/write_lp. With \
               auto the version that the server tells decides, anew whenever it has been away; one \
               that tells none gets 2 where --influx-org or --influx-bucket is set, and else 1",
        apply: |config, value| {
            config.influx_api = value::choice(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-database",
        group: INFLUXDB,
        value_name: "NAME",
        default: DefaultValue::Text("mqtt_data"),
        help: "Database to write to",
        apply: |config, value| {
            config.influx_database = value::name(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-org",
        group: INFLUXDB,
        value_name: "NAME",
        help: "Organization to write to. InfluxDB 2.x needs it; the others have none",
        apply: |config, value| {
            config.influx_org = value::optional_name(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-bucket",
        group: INFLUXDB,
        value_name: "NAME",
        default: DefaultValue::Computed("the name of the database"),
        help: "Bucket of InfluxDB 2.x to write to. It must exist: a token that may only write \
               cannot create it",
        apply: |config, value| {
            config.influx_bucket = value::optional_name(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-retention-policy",
        group: INFLUXDB,
        value_name: "NAME",
        help: "Retention policy of InfluxDB 1.x to write to. Without it InfluxDB uses the default \
               policy of the database",
        apply: |config, value| {
            config.influx_retention_policy = value::optional_name(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-username",
        group: INFLUXDB,
        value_name: "NAME",
        help: "User to write as. Without it no credentials are sent, as an InfluxDB without \
               authentication wants",
        apply: |config, value| {
            config.influx_username = value::optional_name(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-password-file",
        group: INFLUXDB,
        value_name: "FILE",
        kind: Kind::SecretFile,
        unit: "file with the password alone; a newline at its end is cut",
        help: "Read the password of the user from FILE, and again when the file changes. No flag \
               takes the password itself, since ps shows flags to everyone; the variable \
               MQTT_SERVER_INFLUX_PASSWORD does",
        rival: Some("influx-password"),
        apply: |config, value| {
            config.influx_password = Some(Secret::new(value));
            Ok(())
        },
        keep_file: |config, path| config.influx_password_file = Some(path),
        ..Setting::ROW
    },
    Setting {
        name: "influx-password",
        group: INFLUXDB,
        kind: Kind::Secret,
        rival: Some("influx-password-file"),
        apply: |config, value| {
            config.influx_password = (!value.is_empty()).then(|| Secret::new(value));
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-token-file",
        group: INFLUXDB,
        value_name: "FILE",
        kind: Kind::SecretFile,
        unit: "file with the token alone; a newline at its end is cut",
        help: "Read the token of InfluxDB 2.x or 3.x from FILE, and again when the file changes. It \
               is sent instead of user and password. The variable MQTT_SERVER_INFLUX_TOKEN takes \
               the token itself",
        rival: Some("influx-token"),
        apply: |config, value| {
            config.influx_token = Some(Secret::new(value));
            Ok(())
        },
        keep_file: |config, path| config.influx_token_file = Some(path),
        ..Setting::ROW
    },
    Setting {
        name: "influx-token",
        group: INFLUXDB,
        kind: Kind::Secret,
        rival: Some("influx-token-file"),
        apply: |config, value| {
            config.influx_token = (!value.is_empty()).then(|| Secret::new(value));
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-ca",
        group: INFLUXDB,
        value_name: "FILE",
        unit: "file in PEM",
        help: "Root certificates that vouch for InfluxDB, read at start. Without it those of the \
               system do. Only for https://",
        apply: |config, value| {
            config.influx_ca = value::optional_name(value)?.map(PathBuf::from);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-client-cert",
        group: INFLUXDB,
        value_name: "FILE",
        unit: "file in PEM",
        help: "Certificate to show to InfluxDB, with those between it and the root, read at start. \
               Only for https://",
        apply: |config, value| {
            config.influx_client_cert = value::optional_name(value)?.map(PathBuf::from);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-client-key",
        group: INFLUXDB,
        value_name: "FILE",
        unit: "file in PEM",
        help: "Key of the certificate that is shown to InfluxDB, not encrypted",
        apply: |config, value| {
            config.influx_client_key = value::optional_name(value)?.map(PathBuf::from);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-gzip",
        group: INFLUXDB,
        value_name: "BOOL",
        kind: Kind::Switch,
        default: DefaultValue::Text("false"),
        unit: "true or false; the flag alone is true",
        help: "Compress writes of more than a few lines. It takes processor time here and there, \
               and pays where the network to InfluxDB is slow or paid for",
        apply: |config, value| {
            config.influx_gzip = value::switch(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-create-database",
        group: INFLUXDB,
        value_name: "BOOL",
        default: DefaultValue::Text("true"),
        unit: "true or false",
        help: "Create the database of InfluxDB 1.x when it is missing. So a fresh InfluxDB works at \
               once; turn it off where the user may only write. InfluxDB 3.x creates its databases \
               itself, and buckets of 2.x are never created",
        apply: |config, value| {
            config.influx_create_database = value::switch(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-timeout",
        group: INFLUXDB,
        value_name: "DURATION",
        default: DefaultValue::Text("10s"),
        unit: "s, or with a suffix ms, s, m, h; 100ms to 1h",
        help: "How long one write may take. The default is that of InfluxDB's own write-timeout: \
               a shorter one would repeat writes that are still under way",
        apply: |config, value| {
            let range = Duration::from_millis(100)..=Duration::from_secs(3_600);
            config.influx_timeout = value::duration(value, &range)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-connections",
        group: INFLUXDB,
        value_name: "COUNT",
        default: DefaultValue::Text("4"),
        unit: "connections, 1 to 64",
        help: "Most writes to InfluxDB under way at a time. A few are best: more of them split \
               the same points into smaller, dearer writes",
        apply: |config, value| {
            config.influx_connections = value::count(value, &(1..=64))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "influx-batch-points",
        group: INFLUXDB,
        value_name: "COUNT",
        default: DefaultValue::Text("10000"),
        unit: "points, 1 to 1000000",
        help: "Most points in one write. From some thousand on a write costs InfluxDB its points \
               alone; larger ones only add latency",
        apply: |config, value| {
            config.influx_batch_points = value::count(value, &(1..=1_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "when-influx-is-away",
        group: INFLUXDB,
        value_name: "ACTION",
        default: DefaultValue::Text("journal"),
        unit: "journal, refuse or deliver",
        help: "What happens to messages while InfluxDB does not answer, or refuses for a reason \
               that is not theirs. With journal their points go to the data folder, and to \
               InfluxDB when it is back, so that messages are delivered and acknowledged as \
               ever. With refuse they are not, and their publishers are disconnected. With \
               deliver they are, but they are stored nowhere and lost to InfluxDB; the log says \
               how many",
        apply: |config, value| {
            config.when_influx_is_away = value::choice(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "measurement",
        group: STORED,
        value_name: "NAME",
        default: DefaultValue::Text("mqtt"),
        help: "Measurement of InfluxDB that the points go to",
        apply: |config, value| {
            config.measurement = value::measurement(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "keep-payload",
        group: STORED,
        value_name: "WHEN",
        default: DefaultValue::Text("lossy"),
        unit: "lossy, always or never",
        help: "When a point holds the exact payload beside its typed fields. With lossy it does \
               where they cannot give it back byte for byte (21.50, any JSON), so that nothing \
               is lost and plain numbers stay small",
        apply: |config, value| {
            config.keep_payload = value::choice(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "data-dir",
        group: STORED,
        value_name: "DIR",
        default: DefaultValue::Computed(
            "$STATE_DIRECTORY, else $XDG_STATE_HOME/mqtt-server, else \
             $HOME/.local/state/mqtt-server",
        ),
        unit: "folder",
        help: "Folder of what must outlive the process. The default is the folder that systemd \
               gives a service, or else the user's own",
        apply: |config, value| {
            config.data_dir = PathBuf::from(value::name(value)?);
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "journal-max-size",
        group: STORED,
        value_name: "SIZE",
        default: DefaultValue::Text("1G"),
        unit: "bytes, or with a suffix k, M, G; 1k to 16384G",
        help: "Most bytes of points that wait in the data folder for InfluxDB. When there is no \
               room for more, messages are neither delivered nor acknowledged, and their \
               publishers are disconnected. The default has room for about 15 million numbers",
        apply: |config, value| {
            config.journal_max_size = value::size(value, &(1 << 10..=SIZE_ON_DISK_MAX))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "journal-disk-reserve",
        group: STORED,
        value_name: "SIZE",
        default: DefaultValue::Text("256M"),
        unit: "bytes, or with a suffix k, M, G; 0 to 16384G; 0 is none",
        help: "Free space of its disk that the journal does not touch. Other programs suffer \
               from a full disk, often InfluxDB itself, which then could never come back. With less than some 32M \
               a disk that is full keeps the journal from becoming smaller, until somebody makes \
               room",
        apply: |config, value| {
            config.journal_disk_reserve = value::size(value, &(0..=SIZE_ON_DISK_MAX))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "rejected-max-size",
        group: STORED,
        value_name: "SIZE",
        default: DefaultValue::Text("64M"),
        unit: "bytes, or with a suffix k, M, G; 0 to 16384G",
        help: "Most bytes of points that InfluxDB has rejected and that are kept in the data \
               folder with its reasons (mqtt-server rejected). When there is no room for more, \
               a message whose point is rejected is neither delivered nor acknowledged. Points \
               that come out of the journal are kept in any case",
        apply: |config, value| {
            config.rejected_max_size = value::size(value, &(0..=SIZE_ON_DISK_MAX))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-connections",
        group: CROWD,
        value_name: "COUNT",
        default: DefaultValue::Text("0"),
        unit: "connections, 0 to 1000000; 0 is as many as the system allows",
        help: "Most connections in all. One that is too many is closed at once, unanswered. The \
               default leaves it to the limits of the system, which this server raises as far as \
               it may (open files); at start it warns where they do not allow what is set here",
        apply: |config, value| {
            config.max_connections = value::count(value, &(0..=1_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-connections-per-address",
        group: CROWD,
        value_name: "COUNT",
        default: DefaultValue::Text("0"),
        unit: "connections, 0 to 1000000; 0 is no limit",
        help: "Most connections of one address. One that is too many is closed at once, unanswered. \
               A /64 network of IPv6 counts as one address, since every household has one. Off, \
               as all the devices behind a router share its address",
        apply: |config, value| {
            config.max_connections_per_address = value::count(value, &(0..=1_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-connections-per-user",
        group: CROWD,
        value_name: "COUNT",
        default: DefaultValue::Text("0"),
        unit: "clients, 0 to 1000000; 0 is no limit",
        help: "Most clients with one user name that are connected at a time. One that is too many is \
               refused (reason code 0x97). A client that comes back before its broken connection \
               has ended counts once. Off, as many devices may share a user; anonymous clients \
               are not counted",
        apply: |config, value| {
            config.max_connections_per_user = value::count(value, &(0..=1_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-connect-rate",
        group: CROWD,
        value_name: "COUNT",
        default: DefaultValue::Text("0"),
        unit: "CONNECTs per second, 0 to 1000000; 0 is no limit",
        help: "Most CONNECTs per second from one address. Those beyond are refused (reason code \
               0x9F) before their passwords are checked, which is what costs. As many may come at \
               once as in a second. Off, as all the devices behind a router come back together \
               after a power failure",
        apply: |config, value| {
            config.max_connect_rate = value::count(value, &(0..=1_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-packet-size",
        group: LIMITS,
        value_name: "SIZE",
        default: DefaultValue::Text("8M"),
        unit: "bytes, or with a suffix k, M, G; 2 to 268435460",
        help: "Largest packet taken from a client; a larger one closes its connection. A text of \
               the default size still fits into one write of InfluxDB (25 MB) when every \
               character of it must be escaped. The largest value is the protocol's own",
        apply: |config, value| {
            config.max_packet_size = value::size(value, &(2..=268_435_460))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-topic-length",
        group: LIMITS,
        value_name: "BYTES",
        default: DefaultValue::Text("65535"),
        unit: "bytes, 1 to 65535",
        help: "Longest topic name or filter. The default is the protocol's own limit",
        apply: |config, value| {
            config.max_topic_length = value::count(value, &(1..=65_535))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-topic-levels",
        group: LIMITS,
        value_name: "COUNT",
        default: DefaultValue::Text("128"),
        unit: "levels, 1 to 65536",
        help: "Most levels of a topic name or filter. Real topics have fewer than twenty; each \
               level costs a step of every look-up",
        apply: |config, value| {
            config.max_topic_levels = value::count(value, &(1..=65_536))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-subscriptions",
        group: LIMITS,
        value_name: "COUNT",
        default: DefaultValue::Text("10000"),
        unit: "subscriptions, 1 to 10000000",
        help: "Most subscriptions of one client. Enough for one per device of a large hub, and \
               a bound to the memory that one client can take",
        apply: |config, value| {
            config.max_subscriptions = value::count(value, &(1..=10_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-sessions",
        group: LIMITS,
        value_name: "COUNT",
        default: DefaultValue::Text("1000000"),
        unit: "sessions, 1 to 100000000",
        help: "Most sessions in all, those of clients that are away among them; a client that would \
               need one more is refused. A client of MQTT 3.1.1 with clean session 0 leaves its \
               session for ever, and one that invents client identifiers one each time",
        apply: |config, value| {
            config.max_sessions = value::count(value, &(1..=100_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-retained",
        group: LIMITS,
        value_name: "COUNT",
        default: DefaultValue::Text("1000000"),
        unit: "messages, 1 to 100000000",
        help: "Most retained messages in all, one for each topic. A message for one more topic is \
               stored and delivered, but not retained; the log says how many",
        apply: |config, value| {
            config.max_retained = value::count(value, &(1..=100_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "connect-timeout",
        group: LIMITS,
        value_name: "DURATION",
        default: DefaultValue::Text("10s"),
        unit: "s, or with a suffix ms, s, m, h; 100ms to 1h",
        help: "How long a new connection may take to send its CONNECT. Long enough for a modem, \
               too short to hold many threads with silence",
        apply: |config, value| {
            let range = Duration::from_millis(100)..=Duration::from_secs(3_600);
            config.connect_timeout = value::duration(value, &range)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-keep-alive",
        group: LIMITS,
        value_name: "SECONDS",
        default: DefaultValue::Text("0"),
        unit: "s, 0 to 65535; 0 is as the client wishes",
        help: "Longest keep-alive that a client may ask for. The default leaves it to the client, \
               since a client of MQTT 3.1.1 cannot be told of another one",
        apply: |config, value| {
            config.max_keep_alive = value::count(value, &(0..=u16::MAX))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-message-rate",
        group: LIMITS,
        value_name: "COUNT",
        default: DefaultValue::Text("0"),
        unit: "messages per second, 0 to 1000000000; 0 is no limit",
        help: "Most messages per second that a client may publish. One that sends more is not read \
               for so long: it is slowed down, and nothing is lost. As many may come at once as in \
               a second. Off, as a fast client does not hold up the others",
        apply: |config, value| {
            config.max_message_rate = value::count(value, &(0..=1_000_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-byte-rate",
        group: LIMITS,
        value_name: "SIZE",
        default: DefaultValue::Text("0"),
        unit: "bytes per second, or with a suffix k, M, G; 0 to 1G; 0 is no limit",
        help: "Most bytes per second that a client may send. It works like --max-message-rate, and \
               both may be set",
        apply: |config, value| {
            config.max_byte_rate = value::rate(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-inflight",
        group: LIMITS,
        value_name: "COUNT",
        default: DefaultValue::Text("1000"),
        unit: "messages, 1 to 65535",
        help: "Most messages of QoS 1 and 2 of one client that are not acknowledged yet. Many in \
               flight share one write to InfluxDB; the bytes are bounded by --max-queued-bytes",
        apply: |config, value| {
            config.max_inflight = value::count(value, &(1..=u16::MAX))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-queued-bytes",
        group: LIMITS,
        value_name: "SIZE",
        default: DefaultValue::Text("16M"),
        unit: "bytes, or with a suffix k, M, G; 1k to 1G",
        help: "Most bytes that wait to be sent to one client. Room for two of the largest \
               packets, and some seconds of a usual link",
        apply: |config, value| {
            config.max_queued_bytes = value::size(value, &(1 << 10..=1 << 30))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "max-queued-messages",
        group: LIMITS,
        value_name: "COUNT",
        default: DefaultValue::Text("100000"),
        unit: "messages, 1 to 100000000",
        help: "Most messages that wait to be sent to one client. Small messages cost more than \
               their bytes, so that they are counted too",
        apply: |config, value| {
            config.max_queued_messages = value::count(value, &(1..=100_000_000))?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "when-queue-full",
        group: LIMITS,
        value_name: "ACTION",
        default: DefaultValue::Text("drop"),
        unit: "drop or disconnect",
        help: "What happens when more waits for a client than it may. With drop it misses \
               messages, which are stored all the same, and stays connected; both are logged",
        apply: |config, value| {
            config.when_queue_full = value::choice(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "log-timestamps",
        group: LOG,
        value_name: "BOOL",
        kind: Kind::Switch,
        default: DefaultValue::Text("false"),
        unit: "true or false; the flag alone is true",
        help: "Begin each line of the log with its time in UTC. Off, since systemd and docker \
               add their own",
        apply: |config, value| {
            config.log_timestamps = value::switch(value)?;
            Ok(())
        },
        ..Setting::ROW
    },
    Setting {
        name: "verbose",
        short: Some('v'),
        group: LOG,
        kind: Kind::Repeat,
        default: DefaultValue::Text("0"),
        unit: "0 is info, 1 debug (-v), 2 and more trace (-vv)",
        help: "Log more: once for a line per packet, twice for all there is. RUST_LOG wins if it \
               is set. The log goes to standard error",
        apply: |config, value| {
            config.log_filter = log_filter(value::count(value, &(0..=u8::MAX))?);
            Ok(())
        },
        ..Setting::ROW
    },
];

/// Most bytes that a setting for the disk can name: 16 TiB, as large as a file of ext4.
const SIZE_ON_DISK_MAX: usize = 16 << 40;

const LISTENING: Option<&str> = Some("Listening");
const TLS: Option<&str> = Some("TLS, for listeners with mqtts:// or wss://");
const ACCESS: Option<&str> = Some("Who may do what");
const INFLUXDB: Option<&str> = Some("InfluxDB");
const STORED: Option<&str> = Some("What is stored");
const CROWD: Option<&str> = Some("Limits on who connects");
const LIMITS: Option<&str> = Some("Limits, each for one client");
const LOG: Option<&str> = Some("Log");

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_in_kebab_case() {
        let names: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        assert!(
            names
                .iter()
                .all(|name| name.chars().all(|c| c == '-' || c.is_ascii_lowercase()))
        );
    }

    #[test]
    fn rivals_name_each_other() {
        for setting in SETTINGS {
            if let Some(rival) = setting.rival {
                assert_eq!(find(rival).unwrap().rival, Some(setting.name));
            }
        }
    }
}
