//! The three questions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Entry, Reply, State, reply};

const SERVICE: &str = "/twirp/github.actions.results.api.v1.CacheService/";

pub(super) fn answer(state: &State, path: &str, authorization: Option<&str>, body: &[u8]) -> Reply {
    let Some(method) = path.strip_prefix(SERVICE) else {
        return refusal(404, "bad_route", "no such method");
    };
    if !authorization.is_some_and(|token| token.starts_with("Bearer ") && token.matches('.').count() == 2) {
        return refusal(401, "unauthenticated", "no token");
    }
    let Ok(question) = serde_json::from_slice::<Value>(body) else {
        return refusal(400, "malformed", "not JSON");
    };
    let (key, version) = (text(&question, "key"), text(&question, "version"));
    if key.is_empty() || version.len() != 64 {
        return refusal(400, "invalid_argument", "key and version are needed");
    }
    match method {
        "GetCacheEntryDownloadURL" => find(state, &question, &key, &version),
        "CreateCacheEntry" => create(state, key, version),
        "FinalizeCacheEntryUpload" => finish(state, &question, &key, &version),
        _ => refusal(404, "bad_route", "no such method"),
    }
}

/// That of the entries that are there; else the one that is known to be asked for.
pub(super) fn version_of(state: &State) -> String {
    state.entries.lock().first().map(|entry| entry.version.clone()).unwrap_or_default()
}

fn find(state: &State, question: &Value, key: &str, version: &str) -> Reply {
    let entries = state.entries.lock();
    let prefixes = question["restore_keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let newest = |wanted: &dyn Fn(&str) -> bool| {
        let fits = |entry: &&Entry| entry.finished && entry.version == version && wanted(&entry.key);
        entries.iter().rposition(|entry| fits(&entry))
    };
    let exact = newest(&|found| found == key);
    let found =
        exact.or_else(|| prefixes.into_iter().find_map(|prefix| newest(&|found| found.starts_with(prefix))));
    match found {
        Some(index) => {
            let url = state.signed(index);
            let key = &entries[index].key;
            reply(200, json!({"ok": true, "signed_download_url": url, "matched_key": key}).to_string())
        }
        None => reply(200, json!({"ok": false}).to_string()),
    }
}

fn create(state: &State, key: String, version: String) -> Reply {
    let mut entries = state.entries.lock();
    if entries.iter().any(|entry| entry.key == key && (entry.version == version || entry.version.is_empty()))
    {
        return refusal(
            409,
            "already_exists",
            "cache entry with the same key, version, and scope already exists",
        );
    }
    entries.push(Entry { key, version, blocks: BTreeMap::new(), bytes: None, finished: false });
    let url = state.signed(entries.len() - 1);
    reply(200, json!({"ok": true, "signed_upload_url": url}).to_string())
}

fn finish(state: &State, question: &Value, key: &str, version: &str) -> Reply {
    let size = match &question["size_bytes"] {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    let mut entries = state.entries.lock();
    let found = entries.iter_mut().find(|entry| entry.key == key && entry.version == version);
    match found {
        Some(entry) if entry.bytes.as_ref().map(|bytes| bytes.len() as u64) == size => {
            entry.finished = true;
            reply(200, json!({"ok": true, "entry_id": "1"}).to_string())
        }
        Some(_) => refusal(400, "invalid_argument", "the size is another"),
        None => refusal(404, "not_found", "no such entry"),
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    reply(status, json!({"code": code, "msg": message}).to_string())
}
