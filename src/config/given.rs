//! Settings as they were given, before they are checked.

use std::collections::BTreeMap;

use super::error::{Place, Problem};
use super::setting::Setting;

/// A setting and its values in one place.
#[derive(Clone)]
pub(super) struct Given {
    /// The setting.
    pub(super) setting: &'static Setting,
    /// Where it was set.
    pub(super) place: Place,
    /// Its values; more than one for a list only.
    pub(super) values: Vec<String>,
}

/// What counts of all that was given, by the name of the setting.
#[derive(Default)]
pub(super) struct Winners {
    by_name: BTreeMap<&'static str, Given>,
}

impl Winners {
    /// Adds all that was given in one place. It wins over what was added before.
    pub(super) fn add(&mut self, source: Vec<Given>, problems: &mut Vec<Problem>) {
        let names: Vec<&str> = source.iter().map(|given| given.setting.name).collect();
        for given in source {
            let name = given.setting.name;
            if let Some(rival) = given.setting.rival {
                // Each of the two sees the other; one says so.
                if names.contains(&rival) && name < rival {
                    let place = given.place.clone();
                    problems.push(Problem::Rivals {
                        place,
                        names: [name, rival],
                    });
                }
                self.by_name.remove(rival);
            }
            self.by_name.insert(name, given);
        }
    }

    /// What was given for `setting`.
    pub(super) fn of(&self, setting: &Setting) -> Option<&Given> {
        self.by_name.get(setting.name)
    }

    /// Whether another setting was given that says the same thing as `setting`.
    pub(super) fn has_rival_of(&self, setting: &Setting) -> bool {
        setting
            .rival
            .is_some_and(|rival| self.by_name.contains_key(rival))
    }
}
