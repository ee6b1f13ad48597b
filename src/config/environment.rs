//! Settings from environment variables.

use std::ffi::{OsStr, OsString};

use super::error::{Place, Problem};
use super::given::Given;
use super::nearest::nearest;
use super::setting::{ENVIRONMENT_PREFIX, Kind, environment_name};
use super::table::SETTINGS;

/// The settings among `variables`. A variable with our prefix that is no setting is a problem, as a
/// typing mistake would otherwise go unseen.
pub(super) fn read(variables: &[(OsString, OsString)], problems: &mut Vec<Problem>) -> Vec<Given> {
    let mut source = Vec::new();
    for (name, value) in variables {
        let name = name.to_string_lossy();
        if !name.starts_with(ENVIRONMENT_PREFIX) || is_service_link(&name, value) {
            continue;
        }
        let Some(setting) = SETTINGS
            .iter()
            .find(|setting| environment_name(setting.name) == *name)
        else {
            problems.push(unknown(&name));
            continue;
        };
        let is_secret = setting.kind == Kind::Secret;
        let Some(text) = value.to_str() else {
            problems.push(Problem::Value {
                place: Place::Environment,
                name: setting.name,
                value: (!is_secret).then(|| value.to_string_lossy().into_owned()),
                reason: "not UTF-8".to_owned(),
            });
            continue;
        };
        let values = if setting.kind == Kind::Many {
            text.split(',').map(|part| part.trim().to_owned()).collect()
        } else {
            vec![text.to_owned()]
        };
        source.push(Given {
            setting,
            place: Place::Environment,
            values,
        });
    }
    source
}

/// The problem of a variable that begins like ours.
fn unknown(variable: &str) -> Problem {
    let names: Vec<String> = SETTINGS
        .iter()
        .map(|setting| environment_name(setting.name))
        .collect();
    // The prefix is right; near is measured in what follows it.
    let typed = variable.trim_start_matches(ENVIRONMENT_PREFIX);
    let tails = names
        .iter()
        .map(|name| name.trim_start_matches(ENVIRONMENT_PREFIX));
    let nearest = nearest(typed, tails).map(|tail| format!("{ENVIRONMENT_PREFIX}{tail}"));
    Problem::UnknownVariable {
        variable: variable.to_owned(),
        nearest,
    }
}

/// Whether this is a variable that Kubernetes, or a link of Docker, sets in every container beside
/// a service that is called `mqtt-server`, such as `MQTT_SERVER_SERVICE_HOST`,
/// `MQTT_SERVER_PORT=tcp://10.0.0.7:1883` and `MQTT_SERVER_PORT_1883_TCP_ADDR`. Those are no
/// settings, and nobody typed them.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let Some(tail) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
        return false;
    };
    let is_url = value.to_str().is_some_and(|value| value.contains("://"));
    let port_digit = tail
        .strip_prefix("PORT_")
        .and_then(|rest| rest.bytes().next());
    tail.starts_with("SERVICE_HOST")
        || tail.starts_with("SERVICE_PORT")
        || (tail == "PORT" && is_url)
        || port_digit.is_some_and(|byte| byte.is_ascii_digit())
}
