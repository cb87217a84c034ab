//! The names of all settings.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use strsim::damerau_levenshtein;

use super::Settings;
use crate::http::TokenConfig;
use crate::plugin::{NewProjection, PluginLimits};
use crate::relay::NatsConfig;
use crate::sandbox::SqlLimits;

/// Stands for any name: of a plugin, a tenant, an aggregate.
pub(super) const ANY: &str = "*";

/// How different a name may be that somebody meant, in parts of its length.
const FAR: usize = 3;

/// All settings with their defaults, and those that begin anew under every name under [`ANY`].
pub(super) fn known() -> Map<String, Value> {
    let any = || ANY.to_owned();
    let mut settings = Settings {
        topics: BTreeMap::from([(any(), String::new())]),
        projection: HashMap::from([(any(), NewProjection::default())]),
        plugin: HashMap::from([(any(), BTreeMap::from([(any(), String::new())]))]),
        ..Settings::default()
    };
    settings.limits.plugin = BTreeMap::from([(any(), PluginLimits::default())]);
    settings.sandbox.plugin = BTreeMap::from([(any(), SqlLimits::default())]);
    settings.http.tokens = vec![TokenConfig::default()];
    let known = serde_json::to_value(settings).expect("settings are objects, numbers and text");
    let Value::Object(mut known) = known else { unreachable!("the settings are an object") };
    known.insert("tenants".to_owned(), Value::Object(Map::from_iter([(any(), Value::Null)])));
    // What has no default: these two are never left out.
    let mut relay = json!({ "url": "nats://127.0.0.1", "stream": "" });
    let defaults: NatsConfig = serde_json::from_value(relay).expect("it is a relay");
    relay = serde_json::to_value(defaults).expect("settings are objects, numbers and text");
    relay["url"] = "".into();
    known.insert("relay".to_owned(), json!({ ANY: relay }));
    known["telemetry"]["headers"] = json!({ ANY: "" });
    known
}

/// Every setting as a path.
pub(super) fn paths(known: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    collect(&Value::Object(known.clone()), &mut Vec::new(), &mut paths);
    paths
}

fn collect(value: &Value, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    if !path.is_empty() {
        paths.push(path.clone());
    }
    let Value::Object(values) = value else { return };
    for (name, value) in values {
        path.push(name.clone());
        collect(value, path, paths);
        path.pop();
    }
}

/// The setting that was most likely meant.
pub(super) fn nearest(unknown: &[String], known: &Map<String, Value>) -> Option<String> {
    let (last, _) = unknown.split_last()?;
    let written = unknown.join(".");
    let named = paths(known).into_iter().filter(|path| path.last().is_some_and(|name| name != ANY));
    let candidates = named.map(|path| {
        // What the unknown one calls the plugin, and so on.
        let named = path.iter().enumerate().map(|(at, name)| match name.as_str() {
            ANY => unknown.get(at).map_or(ANY, String::as_str).to_owned(),
            _ => name.clone(),
        });
        named.collect::<Vec<String>>()
    });
    candidates
        .filter(|path| path != unknown)
        .filter_map(|path| {
            let distance = damerau_levenshtein(last, path.last()?);
            let joined = path.join(".");
            let common = path.iter().zip(unknown).take_while(|(a, b)| a == b).count();
            let place = (distance, usize::MAX - common, damerau_levenshtein(&written, &joined));
            (distance * FAR <= last.len()).then_some((place, joined))
        })
        .min()
        .map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_found_where_it_belongs() {
        let known = known();
        for (unknown, meant) in [
            ("pluggins", Some("plugins")),
            ("runner.pol", Some("runner.poll")),
            ("poll", Some("runner.poll")),
            ("limits.plugin.owners.bacth", Some("limits.plugin.owners.batch")),
            ("runner.catchup", Some("runner.catch_up")),
            ("sandbox.bach", Some("limits.batch")),
            ("relay.nats.strem", Some("relay.nats.stream")),
            ("telemetry.sampel", Some("telemetry.sample")),
            ("runer", Some("runner")),
            ("nothing_like_it", None),
        ] {
            let path: Vec<String> = unknown.split('.').map(str::to_owned).collect();
            assert_eq!(nearest(&path, &known).as_deref(), meant, "{unknown}");
        }
    }
}
