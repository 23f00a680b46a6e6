//! Keys to object stores out of the caller's environment, for caches that come without: the daemon may run elsewhere.
//!
//! | type | options | variables |
//! |---|---|---|
//! | `gha` | `token`, `url_v2`, `url` | `ACTIONS_RUNTIME_TOKEN`, `ACTIONS_RESULTS_URL` (with `ACTIONS_CACHE_SERVICE_V2`), `ACTIONS_CACHE_URL` |
//! | `s3` | `access_key_id`, `secret_access_key`, `session_token` | `AWS_ACCESS_KEY_ID` and so on |

use slipway_proto::control::CacheOptionsEntry;

/// Adds what `cache` lacks and the environment has.
pub fn add(cache: &mut CacheOptionsEntry) {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    add_from(cache, &variable);
}

fn add_from(cache: &mut CacheOptionsEntry, variable: &dyn Fn(&str) -> Option<String>) {
    let attributes = &mut cache.attrs;
    // A key and the token that belongs to it go together.
    let has_key =
        ["access_key_id", "secret_access_key"].iter().any(|option| attributes.contains_key(*option));
    let mut fill = |option: &str, names: &[&str]| {
        if !attributes.contains_key(option)
            && let Some(value) = names.iter().find_map(|name| variable(name))
        {
            attributes.insert(option.to_owned(), value);
        }
    };
    match cache.r#type.as_str() {
        "gha" => {
            fill("token", &["ACTIONS_RUNTIME_TOKEN"]);
            if variable("ACTIONS_CACHE_SERVICE_V2")
                .is_some_and(|value| matches!(&*value, "1" | "true" | "True"))
            {
                fill("url_v2", &["ACTIONS_RESULTS_URL"]);
            }
            fill("url", &["ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL"]);
        }
        "s3" if !has_key
            && variable("AWS_ACCESS_KEY_ID").is_some()
            && variable("AWS_SECRET_ACCESS_KEY").is_some() =>
        {
            fill("access_key_id", &["AWS_ACCESS_KEY_ID"]);
            fill("secret_access_key", &["AWS_SECRET_ACCESS_KEY"]);
            fill("session_token", &["AWS_SESSION_TOKEN"]);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_not_replaced() {
        let variable = |name: &str| Some(format!("${name}"));
        let filled = |kind: &str, given: &[(&str, &str)]| {
            let attrs = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let mut cache = CacheOptionsEntry { r#type: kind.into(), attrs };
            add_from(&mut cache, &variable);
            cache.attrs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(filled("gha", &[("token", "mine")]), ["token=mine", "url=$ACTIONS_CACHE_URL"]);
        assert_eq!(
            filled("s3", &[]),
            [
                "access_key_id=$AWS_ACCESS_KEY_ID",
                "secret_access_key=$AWS_SECRET_ACCESS_KEY",
                "session_token=$AWS_SESSION_TOKEN"
            ]
        );
        assert_eq!(filled("s3", &[("access_key_id", "a"), ("secret_access_key", "s")]).len(), 2);
        assert!(filled("registry", &[]).is_empty());
    }
}
