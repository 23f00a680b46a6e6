//! Who may do what: basic auth, and bearer tokens with the service that issues them
//! (the distribution project's token specification: GET with basic auth, POST as OAuth 2).

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use serde_json::json;

use super::Auth;
use super::reply::{Reply, error, with_headers};
use super::route::Asked;
use super::state::State;

/// The answer that refuses, or `None` if the request may. `wanted` is a repository and an action.
pub(super) fn check(asked: &Asked, state: &State, wanted: Option<(&str, &str)>) -> Option<Reply> {
    match &state.options.auth {
        Auth::Open => None,
        Auth::Basic { username, password } => {
            let fine = basic(asked).is_some_and(|given| given == (username.clone(), password.clone()));
            (!fine).then(|| challenge("Basic realm=\"fake registry\"".into()))
        }
        Auth::Bearer { .. } => {
            let scheme = if state.options.tls { "https" } else { "http" };
            let own = format!("{scheme}://{}/token", state.address);
            let realm = state.options.realm.as_ref().unwrap_or(&own);
            let realm = format!("Bearer realm=\"{realm}\",service=\"fake\"");
            let token = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
            let tokens = state.tokens.lock();
            let granted = token.and_then(|token| tokens.get(token));
            let scope = wanted.map(|(repository, action)| format!("repository:{repository}:{action}"));
            match (granted, scope) {
                (Some(_), None) => None,
                (Some(granted), Some(scope)) if granted.contains(&scope) => None,
                (None, None) => Some(challenge(realm)),
                (granted, scope) => {
                    let scope = scope.unwrap_or_default().replace(":push", ":pull,push");
                    let reason = match (granted, token) {
                        (Some(_), _) => ",error=\"insufficient_scope\"",
                        (None, Some(_)) => ",error=\"invalid_token\"",
                        (None, None) => "",
                    };
                    Some(challenge(format!("{realm},scope=\"{scope}\"{reason}")))
                }
            }
        }
    }
}

fn challenge(value: String) -> Reply {
    let mut reply = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
    if let Ok(value) = value.try_into() {
        reply.headers_mut().insert(http::header::WWW_AUTHENTICATE, value);
    }
    reply
}

fn basic(asked: &Asked) -> Option<(String, String)> {
    let packed = asked.header("authorization")?.strip_prefix("Basic ")?;
    let plain = String::from_utf8(BASE64_STANDARD.decode(packed).ok()?).ok()?;
    let (username, password) = plain.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

/// `/token`.
pub(super) fn issue(asked: &Asked, state: &State) -> Reply {
    let Auth::Bearer { username, password, identity_token, only_post, public, forbidden } =
        &state.options.auth
    else {
        return error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no tokens here");
    };
    let (user, scopes) = if asked.method == Method::POST {
        let form: HashMap<String, String> = url::form_urlencoded::parse(&asked.body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let fine = match field("grant_type") {
            "password" => field("username") == username && field("password") == password,
            "refresh_token" => field("refresh_token") == identity_token,
            _ => false,
        };
        if !fine || field("client_id").is_empty() {
            return refused();
        }
        (true, vec![field("scope").to_owned()])
    } else if *only_post {
        return error(StatusCode::NOT_FOUND, "UNSUPPORTED", "page not found");
    } else {
        let user = match basic(asked) {
            Some(given) if given == (username.clone(), password.clone()) => true,
            Some(_) => return refused(),
            None => false,
        };
        (user, asked.query.get("scope").cloned().unwrap_or_default())
    };
    let granted = grant(&scopes, |repository, action| {
        let open = action == "pull" && public.iter().any(|p| p == repository);
        open || (user && !forbidden.iter().any(|f| f == repository))
    });
    let token = state.next("token");
    state.tokens.lock().insert(token.clone(), granted);
    let field = if asked.method == Method::POST { "access_token" } else { "token" };
    let body = json!({ field: token, "expires_in": 300 }).to_string();
    with_headers(StatusCode::OK, &[("content-type", "application/json".into())], body.into())
}

fn refused() -> Reply {
    error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "incorrect username or password")
}

/// `repository:NAME:A,B` taken apart; what is not allowed is left out, as token services do.
fn grant(scopes: &[String], allowed: impl Fn(&str, &str) -> bool) -> HashSet<String> {
    let mut granted = HashSet::new();
    for scope in scopes.iter().flat_map(|s| s.split(' ')) {
        let Some((name, actions)) = scope.strip_prefix("repository:").and_then(|s| s.rsplit_once(':')) else {
            continue;
        };
        for action in actions.split(',').filter(|action| allowed(name, action)) {
            granted.insert(format!("repository:{name}:{action}"));
        }
    }
    granted
}
