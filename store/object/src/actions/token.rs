//! What a job's token says: a JSON Web Token whose claims name the scopes. It is GitHub's business to check it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::{Error, Result};

/// `refs/heads/main`, say, and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Scope {
    #[serde(rename = "Scope")]
    pub(super) name: String,
    /// 1 to read, 2 to write.
    #[serde(rename = "Permission", default)]
    permission: u64,
}

impl Scope {
    pub(super) fn is_writable(&self) -> bool {
        self.permission & 2 != 0
    }
}

/// The scopes of `token`.
pub(super) fn scopes(token: &str) -> Result<Vec<Scope>> {
    #[derive(Deserialize)]
    struct Claims {
        ac: String,
        exp: Option<f64>,
    }
    // Nothing of the token itself is told.
    let bad = |reason: &str| Error::Option(format!("token is none of GitHub Actions: {reason}"));
    let claims = token.split('.').nth(1).ok_or_else(|| bad("it has no claims"))?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('='));
    let claims = claims.map_err(|_| bad("its claims are not base64"))?;
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| bad("it names no access controls"))?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp() as f64;
    if claims.exp.is_some_and(|end| end < now) {
        return Err(bad("it has expired"));
    }
    serde_json::from_str(&claims.ac).map_err(|_| bad("its access controls are no list of scopes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.x", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn scopes_are_in_the_claims() {
        let claims = r#"{"ac":"[{\"Scope\":\"refs/heads/main\",\"Permission\":1},{\"Scope\":\"refs/pull/1\",\"Permission\":3}]","exp":4102444800}"#;
        let scopes = scopes(&token(claims)).unwrap();
        assert_eq!((scopes.len(), scopes[0].is_writable(), scopes[1].is_writable()), (2, false, true));
    }

    #[test]
    fn what_is_no_token_is_not_repeated() {
        for bad in
            ["s3cret", "s3cret.s3cret.s3cret", &token("{}"), &token(r#"{"ac":"s3cret","exp":4102444800}"#)]
        {
            let error = scopes(bad).unwrap_err().to_string();
            assert!(error.contains("token") && !error.contains("s3cret"), "{error}");
        }
        assert!(scopes(&token(r#"{"ac":"[]","exp":1}"#)).unwrap_err().to_string().contains("expired"));
    }
}
