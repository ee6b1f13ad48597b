//! The settings as a whole: strength, defaults, and the text of each error.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::auth::Algorithm;
use crate::auth::passwd::Change;

/// Reads settings from these flags, these variables and these files.
fn read(
    flags: &[&str],
    variables: &[(&str, &str)],
    files: &[(&str, &str)],
) -> Result<Invocation, ConfigError> {
    let args = ["mqtt-server"].iter().chain(flags).map(OsString::from);
    let home = [("HOME", "/home/me")];
    let variables = home
        .iter()
        .chain(variables)
        .map(|(name, value)| (name.into(), value.into()));
    Config::from_sources(args, variables, |path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found
            .map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    })
}

/// The configuration that they make.
fn config(flags: &[&str], variables: &[(&str, &str)], files: &[(&str, &str)]) -> Config {
    match read(flags, variables, files).unwrap() {
        Invocation::Serve(config) => *config,
        other => panic!("expected to serve, got {other:?}"),
    }
}

/// The problems that they make, one a line.
fn problems(flags: &[&str], variables: &[(&str, &str)], files: &[(&str, &str)]) -> String {
    read(flags, variables, files).unwrap_err().to_string()
}

/// The text that a flag prints.
fn printed(flag: &str) -> String {
    match read(&[flag], &[], &[]).unwrap() {
        Invocation::Print(text) => text,
        other => panic!("expected a text, got {other:?}"),
    }
}

/// The problems of a file with this text, without the name of the file in front.
fn file_problems(text: &str) -> String {
    let said = problems(&["-c", "f.toml"], &[], &[("f.toml", text)]);
    said.lines()
        .map(|line| line.strip_prefix("f.toml: ").unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

fn addresses(texts: &[&str]) -> Vec<Listen> {
    let listen = |text: &&str| Listen {
        scheme: Scheme::Mqtt,
        address: text.parse().unwrap(),
    };
    texts.iter().map(listen).collect()
}

#[test]
fn has_these_defaults() {
    let expected = Config {
        config_file: None,
        listen: addresses(&["0.0.0.0:1883"]),
        tls_cert: None,
        tls_key: None,
        tls_client_ca: None,
        tls_client_cert: ClientCertificate::None,
        tls_client_identity: ClientIdentity::None,
        websocket_path: "/mqtt".to_owned(),
        password_file: None,
        acl_file: None,
        allow_anonymous: true,
        store: StoreKind::Influx,
        influx_url: "http://localhost:8086".to_owned(),
        influx_api: InfluxApi::Auto,
        influx_database: "mqtt_data".to_owned(),
        influx_org: None,
        influx_bucket: None,
        influx_retention_policy: None,
        influx_username: None,
        influx_password: None,
        influx_password_file: None,
        influx_token: None,
        influx_token_file: None,
        influx_ca: None,
        influx_client_cert: None,
        influx_client_key: None,
        influx_gzip: false,
        influx_create_database: true,
        influx_timeout: Duration::from_secs(10),
        influx_connections: 4,
        influx_batch_points: 10_000,
        when_influx_is_away: WhenInfluxIsAway::Journal,
        measurement: "mqtt".to_owned(),
        keep_payload: KeepPayload::Lossy,
        rules: Vec::new(),
        data_dir: PathBuf::from("/home/me/.local/state/mqtt-server"),
        journal_max_size: 1 << 30,
        journal_disk_reserve: 256 << 20,
        rejected_max_size: 64 << 20,
        max_connections: 0,
        max_connections_per_address: 0,
        max_connections_per_user: 0,
        max_connect_rate: 0,
        max_packet_size: 8 << 20,
        max_topic_length: 65_535,
        max_topic_levels: 128,
        max_subscriptions: 10_000,
        max_sessions: 1_000_000,
        max_retained: 1_000_000,
        connect_timeout: Duration::from_secs(10),
        max_keep_alive: 0,
        max_message_rate: 0,
        max_byte_rate: 0,
        max_inflight: 1_000,
        max_queued_bytes: 16 << 20,
        max_queued_messages: 100_000,
        when_queue_full: WhenQueueFull::Drop,
        log_timestamps: false,
        log_filter: "warn,mqtt_server=info".to_owned(),
    };
    assert_eq!(config(&[], &[], &[]), expected);
}

#[test]
fn sets_every_field_from_the_file() {
    let text = r#"
        listen = ["127.0.0.1:0", "[::1]:1884"]
        tls-cert = "/c"
        tls-key = "/k"
        tls-client-ca = "/a"
        tls-client-cert = "optional"
        tls-client-identity = "san"
        websocket-path = "/w"
        password-file = "/users"
        acl-file = "/acl"
        allow-anonymous = true
        store = "off"
        influx-url = "https://db:8086/influx/"
        influx-api = "3"
        influx-database = "d"
        influx-org = "o"
        influx-bucket = "b"
        influx-retention-policy = "r"
        influx-username = "u"
        influx-password-file = "/p"
        influx-token-file = "/t"
        influx-ca = "/ca"
        influx-client-cert = "/cc"
        influx-client-key = "/ck"
        influx-gzip = true
        influx-create-database = false
        influx-timeout = "500ms"
        influx-connections = 0x10
        influx-batch-points = 1_000
        when-influx-is-away = "deliver"
        measurement = "m"
        keep-payload = "always"
        data-dir = "/d"
        journal-max-size = "2M"
        journal-disk-reserve = 0
        rejected-max-size = 5
        max-connections = 11
        max-connections-per-address = 12
        max-connections-per-user = 13
        max-connect-rate = 14
        max-packet-size = "1M"
        max-topic-length = 100
        max-topic-levels = "20"
        max-subscriptions = 7
        max-sessions = 8
        max-retained = 9
        connect-timeout = 5
        max-keep-alive = 60
        max-message-rate = 15
        max-byte-rate = "16k"
        max-inflight = 20
        max-queued-bytes = "2k"
        max-queued-messages = 3
        when-queue-full = "disconnect"
        log-timestamps = true
        verbose = 1
    "#;
    let expected = Config {
        config_file: Some(PathBuf::from("f.toml")),
        listen: addresses(&["127.0.0.1:0", "[::1]:1884"]),
        tls_cert: Some(PathBuf::from("/c")),
        tls_key: Some(PathBuf::from("/k")),
        tls_client_ca: Some(PathBuf::from("/a")),
        tls_client_cert: ClientCertificate::Optional,
        tls_client_identity: ClientIdentity::San,
        websocket_path: "/w".to_owned(),
        password_file: Some(PathBuf::from("/users")),
        acl_file: Some(PathBuf::from("/acl")),
        allow_anonymous: true,
        store: StoreKind::Off,
        influx_url: "https://db:8086/influx".to_owned(),
        influx_api: InfluxApi::V3,
        influx_database: "d".to_owned(),
        influx_org: Some("o".to_owned()),
        influx_bucket: Some("b".to_owned()),
        influx_retention_policy: Some("r".to_owned()),
        influx_username: Some("u".to_owned()),
        influx_password: Some(Secret::new("secret\n")),
        influx_password_file: Some(PathBuf::from("/p")),
        influx_token: Some(Secret::new("token")),
        influx_token_file: Some(PathBuf::from("/t")),
        influx_ca: Some(PathBuf::from("/ca")),
        influx_client_cert: Some(PathBuf::from("/cc")),
        influx_client_key: Some(PathBuf::from("/ck")),
        influx_gzip: true,
        influx_create_database: false,
        influx_timeout: Duration::from_millis(500),
        influx_connections: 16,
        influx_batch_points: 1_000,
        when_influx_is_away: WhenInfluxIsAway::Deliver,
        measurement: "m".to_owned(),
        keep_payload: KeepPayload::Always,
        rules: Vec::new(),
        data_dir: PathBuf::from("/d"),
        journal_max_size: 2 << 20,
        journal_disk_reserve: 0,
        rejected_max_size: 5,
        max_connections: 11,
        max_connections_per_address: 12,
        max_connections_per_user: 13,
        max_connect_rate: 14,
        max_packet_size: 1 << 20,
        max_topic_length: 100,
        max_topic_levels: 20,
        max_subscriptions: 7,
        max_sessions: 8,
        max_retained: 9,
        connect_timeout: Duration::from_secs(5),
        max_keep_alive: 60,
        max_message_rate: 15,
        max_byte_rate: 16 << 10,
        max_inflight: 20,
        max_queued_bytes: 2048,
        max_queued_messages: 3,
        when_queue_full: WhenQueueFull::Disconnect,
        log_timestamps: true,
        log_filter: "warn,mqtt_server=debug".to_owned(),
    };
    let files = [("f.toml", text), ("/p", "secret\n\r\n"), ("/t", "token")];
    assert_eq!(config(&["-c", "f.toml"], &[], &files), expected);
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let files = [("f", "max-inflight = 3")];
    let in_environment = [
        ("MQTT_SERVER_MAX_INFLIGHT", "2"),
        ("MQTT_SERVER_CONFIG", "f"),
    ];
    assert_eq!(
        config(&["--max-inflight=1"], &in_environment, &files).max_inflight,
        1
    );
    assert_eq!(config(&[], &in_environment, &files).max_inflight, 2);
    assert_eq!(config(&["-c", "f"], &[], &files).max_inflight, 3);
    assert_eq!(config(&[], &[], &files).max_inflight, 1000);
}

#[test]
fn flag_beats_environment_for_the_file_itself() {
    let files = [("f", "max-inflight = 3"), ("g", "max-inflight = 4")];
    let config = config(&["--config", "g"], &[("MQTT_SERVER_CONFIG", "f")], &files);
    assert_eq!(config.max_inflight, 4);
    assert_eq!(config.config_file, Some(PathBuf::from("g")));
}

#[test]
fn stronger_list_replaces_weaker_list() {
    let files = [("f", r#"listen = "127.0.0.1:1""#)];
    let variables = [("MQTT_SERVER_LISTEN", "127.0.0.1:2, [::1]:3")];
    let of = |flags: &[&str], variables| config(flags, variables, &files).listen;
    assert_eq!(of(&["-c", "f"], &[]), addresses(&["127.0.0.1:1"]));
    assert_eq!(
        of(&["-c", "f"], &variables),
        addresses(&["127.0.0.1:2", "[::1]:3"])
    );
    assert_eq!(
        of(
            &[
                "-c",
                "f",
                "--listen",
                "127.0.0.1:4",
                "--listen",
                "127.0.0.1:5"
            ],
            &variables
        ),
        addresses(&["127.0.0.1:4", "127.0.0.1:5"])
    );
}

#[test]
fn wants_the_settings_of_tls_to_make_sense_together() {
    for (flags, said) in [
        (
            &["--listen", "mqtts://127.0.0.1:1"][..],
            "--tls-cert is not given, and a listener with mqtts:// or wss:// needs it\n\
             --tls-key is not given, and a listener with mqtts:// or wss:// needs it",
        ),
        (
            &["--listen", "wss://127.0.0.1:1", "--tls-cert", "/c"],
            "--tls-key is not given, and a listener with mqtts:// or wss:// needs it",
        ),
        (
            &["--tls-client-cert", "required"],
            "--tls-client-ca is not given, and --tls-client-cert needs it",
        ),
        (
            &["--tls-client-ca", "/a"],
            "--tls-client-cert is not given, and --tls-client-ca does nothing without it",
        ),
        (
            &["--tls-client-identity", "cn"],
            "--tls-client-cert is not given, and --tls-client-identity does nothing without it",
        ),
        (
            &["--influx-ca", "/a"],
            "--influx-url https:// is not given, and --influx-ca and --influx-client-cert do \
             nothing without it",
        ),
        (
            &["--influx-url=https://db", "--influx-client-cert=/c"],
            "--influx-client-key is not given, and --influx-client-cert needs it",
        ),
        (
            &["--influx-url=https://db", "--influx-client-key=/k"],
            "--influx-client-cert is not given, and --influx-client-key needs it",
        ),
    ] {
        assert_eq!(problems(flags, &[], &[]), said, "{flags:?}");
    }
}

#[test]
fn port_stands_for_listen() {
    let files = [("f", r#"listen = "127.0.0.1:1""#), ("g", "port = 9")];
    assert_eq!(
        config(&["-p", "0"], &[], &[]).listen,
        addresses(&["0.0.0.0:0"])
    );
    assert_eq!(
        config(&["-p", "7", "-c", "f"], &[], &files).listen,
        addresses(&["0.0.0.0:7"])
    );
    assert_eq!(
        config(&["--listen", "127.0.0.1:8", "-c", "g"], &[], &files).listen,
        addresses(&["127.0.0.1:8"])
    );
    assert_eq!(
        problems(&["-p", "7", "--listen", "127.0.0.1:8"], &[], &[]),
        "--listen and --port are both given, but one replaces the other"
    );
    let variables = [
        ("MQTT_SERVER_PORT", "7"),
        ("MQTT_SERVER_LISTEN", "127.0.0.1:8"),
    ];
    assert_eq!(
        problems(&[], &variables, &[]),
        "MQTT_SERVER_LISTEN and MQTT_SERVER_PORT are both given, but one replaces the other"
    );
}

#[test]
fn reads_the_password_from_a_file_or_the_environment() {
    let files = [
        ("/p", "from file\n"),
        ("f", r#"influx-password-file = "/p""#),
    ];
    let variables = [("MQTT_SERVER_INFLUX_PASSWORD", "from environment")];
    let of = |flags: &[&str], variables| config(flags, variables, &files).influx_password;
    let file = Some(Secret::new("from file"));
    let environment = Some(Secret::new("from environment"));
    assert_eq!(of(&["-c", "f"], &[]), file);
    assert_eq!(of(&["-c", "f"], &variables), environment);
    assert_eq!(of(&["--influx-password-file", "/p"], &variables), file);
    assert_eq!(of(&[], &[("MQTT_SERVER_INFLUX_PASSWORD", "")]), None);
}

#[test]
fn never_shows_a_password() {
    let variables = [("MQTT_SERVER_INFLUX_PASSWORD", "hunter2")];
    assert!(!format!("{:?}", config(&[], &variables, &[])).contains("hunter2"));
    for said in [
        problems(&["--influx-password", "hunter2"], &[], &[]),
        problems(&["--influx-password=hunter2"], &[], &[]),
        problems(&["--influx-url", "http://me:hunter2@db"], &[], &[]),
        problems(&["--influx-url", "https://me:hunter2@db"], &[], &[]),
        file_problems(r#"influx-password = "hunter2""#),
        file_problems(r#"influx-password = "hunter2"#),
    ] {
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn flags_without_a_value() {
    assert_eq!(
        config(&["-v"], &[], &[]).log_filter,
        "warn,mqtt_server=debug"
    );
    assert_eq!(
        config(&["-vv"], &[], &[]).log_filter,
        "warn,mqtt_server=trace"
    );
    assert_eq!(
        config(&["-vvvv"], &[], &[]).log_filter,
        "warn,mqtt_server=trace"
    );
    let variables = [
        ("MQTT_SERVER_VERBOSE", "2"),
        ("MQTT_SERVER_LOG_TIMESTAMPS", "true"),
    ];
    assert_eq!(
        config(&["-v"], &variables, &[]).log_filter,
        "warn,mqtt_server=debug"
    );
    assert!(config(&["--log-timestamps"], &[], &[]).log_timestamps);
    assert!(config(&[], &variables, &[]).log_timestamps);
    assert!(!config(&["--log-timestamps=false"], &variables, &[]).log_timestamps);
}

#[test]
fn rust_log_wins() {
    let filter = |rust_log| config(&["-v"], &[("RUST_LOG", rust_log)], &[]).log_filter;
    assert_eq!(filter("error"), "error");
    assert_eq!(filter(""), "warn,mqtt_server=debug");
}

#[test]
fn finds_the_data_folder() {
    let of = |variables: &[(&str, &str)]| config(&[], variables, &[]).data_dir;
    let state = ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b");
    let xdg = ("XDG_STATE_HOME", "/state");
    assert_eq!(of(&[state, xdg]), Path::new("/var/lib/a"));
    assert_eq!(of(&[xdg]), Path::new("/state/mqtt-server"));
    assert_eq!(
        of(&[("XDG_STATE_HOME", "relative")]),
        Path::new("/home/me/.local/state/mqtt-server")
    );
    let nothing = Config::from_sources(["mqtt-server"], [], |_| Ok(String::new())).unwrap_err();
    assert_eq!(
        nothing.to_string(),
        "--data-dir is not given, and none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is set"
    );
    let given = Config::from_sources(["mqtt-server", "--data-dir", "/d"], [], |_| unreachable!());
    assert!(given.is_ok());
}

#[test]
fn names_flag_value_and_reason() {
    for (flags, said) in [
        (
            &["--max-packet-size", "10x"][..],
            r#"--max-packet-size "10x": not a size (bytes, or with a suffix k, M, G)"#,
        ),
        (
            &["-p", "-1"],
            r#"--port "-1": expected a whole number from 0 to 65535"#,
        ),
        (
            &["--max-inflight=0"],
            r#"--max-inflight "0": expected a whole number from 1 to 65535"#,
        ),
        (
            &["--store", "on\n"],
            r#"--store "on\n": expected influx or off"#,
        ),
        (
            &["--influx-database", ""],
            r#"--influx-database "": must not be empty"#,
        ),
        (
            &["--influx-url", "http://me:pw@db"],
            "--influx-url \"http://***@db\": a user does not belong into the URL, use \
             --influx-username and --influx-password-file",
        ),
        (
            &["--influx-password-file", "/none"],
            r#"--influx-password-file "/none": cannot be read: entity not found"#,
        ),
        (
            &["--influx-password-file", "/empty"],
            r#"--influx-password-file "/empty": the file is empty"#,
        ),
        (
            &["-c", "/none"],
            r#"--config "/none": cannot be read: entity not found"#,
        ),
        (
            &["--log-timestamps=1"],
            r#"--log-timestamps "1": expected true or false"#,
        ),
        (
            &["--prot", "1"],
            "unexpected argument '--prot' found; a similar argument exists: '--port' (see --help)",
        ),
        (&["1884"], "unrecognized subcommand '1884' (see --help)"),
        (
            &["--port"],
            "a value is required for '--port <PORT>' but none was supplied (see --help)",
        ),
        (
            &["-p", "1", "-p", "2"],
            "the argument '--port <PORT>' cannot be used multiple times (see --help)",
        ),
    ] {
        assert_eq!(problems(flags, &[], &[("/empty", "\n")]), said, "{flags:?}");
    }
}

#[test]
fn names_variable_value_and_reason() {
    for (variable, value, said) in [
        (
            "MQTT_SERVER_PORT",
            "abc",
            r#"MQTT_SERVER_PORT "abc": expected a whole number from 0 to 65535"#,
        ),
        (
            "MQTT_SERVER_LISTEN",
            "0.0.0.0:1,1884",
            "MQTT_SERVER_LISTEN \"1884\": expected ADDR:PORT, such as 0.0.0.0:1883 or [::]:1883",
        ),
        (
            "MQTT_SERVER_CONFIG",
            "x",
            r#"MQTT_SERVER_CONFIG "x": cannot be read: entity not found"#,
        ),
        (
            "MQTT_SERVER_KEEP_PAYLAOD",
            "never",
            "MQTT_SERVER_KEEP_PAYLAOD: unknown setting in the environment, did you mean \
             MQTT_SERVER_KEEP_PAYLOAD?",
        ),
        (
            "MQTT_SERVER_TLS",
            "1",
            "MQTT_SERVER_TLS: unknown setting in the environment",
        ),
    ] {
        assert_eq!(problems(&[], &[(variable, value)], &[]), said);
    }
}

#[test]
#[cfg(unix)]
fn refuses_values_that_are_not_utf8() {
    use std::os::unix::ffi::OsStringExt;

    let value = OsString::from_vec(b"m\xff".to_vec());
    let variables = [
        ("MQTT_SERVER_MEASUREMENT".into(), value),
        ("HOME".into(), "/".into()),
    ];
    let error = Config::from_sources(["mqtt-server"], variables, |_| unreachable!()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "MQTT_SERVER_MEASUREMENT \"m\u{fffd}\": not UTF-8"
    );
}

#[test]
fn passes_over_the_variables_of_a_container_network() {
    let links = [
        ("MQTT_SERVER_SERVICE_HOST", "10.0.0.7"),
        ("MQTT_SERVER_SERVICE_PORT", "1883"),
        ("MQTT_SERVER_SERVICE_PORT_MQTT", "1883"),
        ("MQTT_SERVER_PORT", "tcp://10.0.0.7:1883"),
        ("MQTT_SERVER_PORT_1883_TCP", "tcp://10.0.0.7:1883"),
        ("MQTT_SERVER_PORT_1883_TCP_ADDR", "10.0.0.7"),
    ];
    assert_eq!(
        config(&[], &links, &[]).listen,
        addresses(&["0.0.0.0:1883"])
    );
}

#[test]
fn names_file_key_and_reason() {
    for (text, said) in [
        (
            r#"keep-payload = "sometimes""#,
            r#"keep-payload = "sometimes": expected lossy, always or never"#,
        ),
        (
            "port = 99999",
            r#"port = "99999": expected a whole number from 0 to 65535"#,
        ),
        (
            "influx-timeout = 1.5",
            "influx-timeout = \"1.5\": not a duration (seconds, or with a suffix ms, s, m, h)",
        ),
        (
            "log-timestamps = \"yes\"",
            r#"log-timestamps = "yes": expected true or false"#,
        ),
        ("port = [1]", "port: expected one value, not an array"),
        ("[port]", "port: expected a value, not a table"),
        ("listen = []", "listen: the list is empty"),
        ("listen = [[]]", "listen: expected one value, not an array"),
        (
            "\n# a comment\nkeep-paylaod = \"never\"",
            "line 3: unknown key \"keep-paylaod\", did you mean keep-payload?",
        ),
        ("[limits]\nport = 1", "line 1: unknown key \"limits\""),
        (
            "influx-password = \"x\"",
            "line 1: unknown key \"influx-password\", did you mean influx-password-file?",
        ),
        ("config = \"x\"", "line 1: unknown key \"config\""),
        ("port = 1\nport = 2", "line 2: duplicate key"),
        ("\nport 1", "line 2: key with no value, expected `=`"),
        (
            "listen = \"a:1\"\nport = 1",
            "listen and f.toml: port are both given, but one replaces the other",
        ),
    ] {
        assert_eq!(file_problems(text), said, "{text:?}");
    }
}

#[test]
fn names_file_rule_key_and_reason() {
    for (rule, expected) in [
        ("store = false", "filter: is missing; every rule has one"),
        ("filter = 'a/#/b'", "filter: '#' must be the last level"),
        (
            "filter = 5\nfoo = 1",
            "foo: unknown key; a rule has filter, store, retained, empty, payload, measurement, tags, fields, types, points, timestamp, precision, max-series",
        ),
        (
            "filter = 'a'\nfeilds = 1",
            "feilds: unknown key, did you mean fields?",
        ),
        (
            "filter = 'a'\nstore = 'no'",
            "store: expected true or false",
        ),
        (
            "filter = 'a'\npayload = 'xml'",
            "payload: expected auto, json, number, text, line-protocol or base64, found \"xml\"",
        ),
        (
            "filter = 'a'\nmeasurement = '#a'",
            "measurement: must not begin with # or end with a backslash",
        ),
        (
            "filter = 'a'\ntags = { x = '{site}' }",
            "tags.x: {site} is no level of the filter; expected one of its names, topic, \
             client_id, user_name, payload or payload.PATH",
        ),
        (
            "filter = 'a'\ntags = { x = 'payload.y' }",
            "tags.x: expected {payload.y}, in braces",
        ),
        (
            "filter = 'a'\ntags = { time = 'x' }",
            "tags.time: InfluxDB has time for the timestamp",
        ),
        (
            "filter = 'a'\ntags = { '#' = 'x' }",
            "tags.#: a name must not have '#'",
        ),
        (
            "filter = 'a'\ntags = 5",
            "tags: expected a table, or a text such as _/site/device/_",
        ),
        (
            "filter = 'a/+'\ntags = '_/x/_'",
            "tags: expected a word for each of the 2 levels of the filter, as in _/site/_, found 3",
        ),
        (
            "filter = '+/+'\ntags = 'x/x'",
            "tags.x: stands for two levels",
        ),
        (
            "filter = 'a'\ntags = 'topic'",
            "tags: the tag topic has the whole topic already",
        ),
        (
            "filter = 'a'\nfields = {}",
            "fields: is empty; a point must have a field",
        ),
        (
            "filter = 'a'\nfields = { x = '{topic}' }\ntags = { x = '{topic}' }",
            "fields.x: a tag has this name already",
        ),
        (
            "filter = 'a'\nfields = { x = '{topic}' }\ntypes = { x = 'uint' }",
            "types.x: expected float, integer, string, boolean, int or bool, found \"uint\"",
        ),
        (
            "filter = 'a'\ntypes = { x = 'float' }",
            "types.x: expected the name of one of fields, or value with payload = \"number\"",
        ),
        (
            "filter = 'a'\npoints = 'x'",
            "points: expected a path such as {payload.a.b}",
        ),
        (
            "filter = 'a'\npayload = 'text'\ntimestamp = '{payload.t}'",
            "timestamp: a path into the payload needs payload = \"json\" or \"auto\"",
        ),
        (
            "filter = 'a'\nprecision = 'ms'",
            "precision: does nothing without timestamp",
        ),
        (
            "filter = 'a'\npayload = 'line-protocol'\ntags = { x = 'y' }",
            "tags: does nothing with payload = \"line-protocol\", whose lines have all of it",
        ),
        (
            "filter = 'a'\nstore = false\nempty = false",
            "empty: does nothing in a rule with store = false",
        ),
        (
            "filter = 'a'\nmax-series = 0",
            "max-series: expected a whole number from 1 to 100000000",
        ),
    ] {
        let text = format!("[[rule]]\nfilter = 'ok'\n[[rule]]\n{rule}");
        assert_eq!(
            file_problems(&text),
            format!("rule 2: {expected}"),
            "{rule}"
        );
    }
    assert_eq!(
        file_problems("rule = 5"),
        "rule 1: rule: expected tables: [[rule]]"
    );
}

#[test]
fn reports_all_problems_in_order() {
    let files = [("f", "a-b-c = 1\nmeasurement = \"\"\n"), ("g", "")];
    let variables = [("MQTT_SERVER_X_Y_Z", "1"), ("MQTT_SERVER_STORE", "on")];
    assert_eq!(
        problems(&["-c", "f", "--port", "x"], &variables, &files),
        "MQTT_SERVER_X_Y_Z: unknown setting in the environment\n\
         f: line 1: unknown key \"a-b-c\"\n\
         --port \"x\": expected a whole number from 0 to 65535\n\
         MQTT_SERVER_STORE \"on\": expected influx or off\n\
         f: measurement = \"\": must not be empty"
    );
}

#[test]
fn reads_subcommands_with_the_settings_around_them() {
    let task = |flags: &[&str]| match read(flags, &[], &[]).unwrap() {
        Invocation::Task(config, task) => (config.data_dir.to_str().unwrap().to_owned(), task),
        other => panic!("expected a task, got {other:?}"),
    };
    let at = |folder: &str, task| (folder.to_owned(), task);
    let home = "/home/me/.local/state/mqtt-server";
    let ids = |ids: &[i64]| Which::Ids(ids.to_vec());
    for (flags, expected) in [
        (&["journal"][..], at(home, Task::JournalStatus)),
        (
            &["--data-dir", "/d", "journal"],
            at("/d", Task::JournalStatus),
        ),
        (
            &["--data-dir", "/d", "journal", "--data-dir", "/e", "export"],
            at("/e", Task::JournalExport),
        ),
        (
            &["rejected", "list", "--data-dir=/d"],
            at("/d", Task::RejectedList),
        ),
        (&["rejected", "show", "7"], at(home, Task::RejectedShow(7))),
        (
            &["rejected", "retry"],
            at(home, Task::RejectedRetry(Which::All)),
        ),
        (
            &["rejected", "retry", "1", "2"],
            at(home, Task::RejectedRetry(ids(&[1, 2]))),
        ),
        (&["rejected", "export"], at(home, Task::RejectedExport)),
        (
            &["rejected", "drop", "3"],
            at(home, Task::RejectedDrop(ids(&[3]))),
        ),
        (
            &["rejected", "drop", "--all"],
            at(home, Task::RejectedDrop(Which::All)),
        ),
        (&["check"], at(home, Task::Check { connect: false })),
        (
            &["check", "--connect"],
            at(home, Task::Check { connect: true }),
        ),
        (
            &["try-rule", "a/b", "-1", "--retain", "--client-id", "c"],
            at(
                home,
                Task::TryRule(Trial {
                    topic: "a/b".to_owned(),
                    payload: "-1".to_owned(),
                    retain: true,
                    client_id: "c".to_owned(),
                    user_name: String::new(),
                }),
            ),
        ),
    ] {
        assert_eq!(task(flags), expected, "{flags:?}");
    }
    for flags in [
        &["rejected", "drop"][..],
        &["rejected", "drop", "1", "--all"],
        &["rejected", "show", "x"],
        &["journal", "--port", "1"],
    ] {
        assert!(
            problems(flags, &[], &[]).contains("(see --help)"),
            "{flags:?}"
        );
    }
}

#[test]
fn prints_the_version() {
    assert_eq!(printed("--version"), "mqtt-server 0.1.0\n");
    assert_eq!(printed("-V"), "mqtt-server 0.1.0\n");
}

#[test]
fn help_tells_default_unit_and_variable_of_every_flag() {
    let help = printed("--help");
    // Lines are wrapped anywhere; compare words.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let flat = words(&help);
    for setting in SETTINGS.iter().filter(|setting| setting.on_command_line()) {
        assert!(
            flat.contains(&format!("--{}", setting.name)),
            "{}",
            setting.name
        );
        assert!(
            flat.contains(&words(&setting.long_help())),
            "{}",
            setting.name
        );
        let heading = format!("\n{}:\n", setting.group.unwrap_or("Options"));
        assert_eq!(help.matches(&heading).count(), 1, "{heading}");
    }
    assert!(flat.contains("[default: 8M]") && flat.contains("MQTT_SERVER_MAX_PACKET_SIZE]"));
    assert!(
        !flat.contains("--influx-password "),
        "there is no flag for a secret"
    );
}

#[test]
fn lets_anonymous_clients_in_unless_there_is_a_password_file() {
    let allowed = |flags: &[&str]| config(flags, &[], &[]).allow_anonymous;
    assert!(allowed(&[]));
    assert!(allowed(&["--acl-file", "a"]));
    assert!(!allowed(&["--password-file", "p"]));
    assert!(allowed(&[
        "--password-file",
        "p",
        "--allow-anonymous",
        "true"
    ]));
    assert!(!allowed(&["--allow-anonymous=false"]));
}

#[test]
fn reads_the_command_line_of_passwd() {
    let passwd = |args: &[&str]| match read(&[&["passwd"], args].concat(), &[], &[]) {
        Ok(Invocation::Passwd(passwd)) => Ok(passwd),
        Ok(other) => panic!("expected passwd, got {other:?}"),
        Err(error) => Err(error.to_string()),
    };
    let set = |algorithm, password: Option<&str>, create| Passwd {
        file: PathBuf::from("f"),
        user: "bob".to_owned(),
        change: Change::Set {
            algorithm,
            password: password.map(Secret::new),
            create,
        },
    };
    let default = Algorithm::Sha512Pbkdf2;
    assert_eq!(passwd(&["f", "bob"]), Ok(set(default, None, false)));
    assert_eq!(passwd(&["-c", "f", "bob"]), Ok(set(default, None, true)));
    assert_eq!(
        passwd(&["-H", "argon2id", "-c", "-b", "f", "bob", "pw"]),
        Ok(set(Algorithm::Argon2id, Some("pw"), true))
    );
    let deleted = passwd(&["-D", "f", "bob"]).unwrap();
    assert_eq!(deleted.change, Change::Delete);
    for bad in [
        &["f"][..],
        &["-b", "f", "bob"],
        &["f", "bob", "pw"],
        &["-D", "-c", "f", "bob"],
        &["-H", "md5", "f", "bob"],
    ] {
        assert!(passwd(bad).is_err(), "{bad:?}");
    }
}
