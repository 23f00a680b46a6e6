//! Options of S3 caches, under BuildKit's names.
//!
//! | option | else |
//! |---|---|
//! | `bucket`, `region` | `$AWS_BUCKET`, `$AWS_REGION` of the daemon |
//! | `access_key_id`, `secret_access_key`, `session_token` | `$AWS_ACCESS_KEY_ID` and so on, then the profile `$AWS_PROFILE` of `$AWS_SHARED_CREDENTIALS_FILE` or `~/.aws/credentials` |
//! | `endpoint_url`, `use_path_style` | Amazon's own, by the bucket's host name |
//! | `prefix`, `blobs_prefix`, `manifests_prefix` | nothing, `blobs/`, `manifests/` |
//! | `name` (several by `;`: all are written, the first is read) | `buildkit` |
//! | `touch_refresh` | 24h |
//! | `upload_parallelism` | 4 |
//! | `retry_mode` (`standard`, `adaptive`: the same here), `retry_max_attempts` | standard, as for registries |
//! | `disable_accept_encoding` | (no such header is ever signed here) |
//!
//! Absent: the roles of machines and of Kubernetes' service accounts. Give their keys by environment.

use std::path::PathBuf;
use std::time::Duration;

use slipway_model::Redacted;
use url::Url;

use super::sign::Credentials;
use crate::{Error, Options, Result};

#[derive(Clone)]
pub struct S3Options {
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) credentials: Credentials,
    /// Up to the bucket's name.
    pub(super) endpoint: Url,
    /// The bucket is the first part of the path, else of the host.
    pub(super) path_style: bool,
    pub(super) blobs: String,
    pub(super) manifests: String,
    pub(super) names: Vec<String>,
    pub(super) touch_refresh: Duration,
    pub(super) uploads: u32,
    pub(super) attempts: Option<u32>,
}

impl S3Options {
    pub fn take(options: &mut Options<'_>) -> Result<Self> {
        let missing = |what: &str, variable: &str| {
            Error::Option(format!("{what} is missing: give it, or {variable} to the daemon"))
        };
        let bucket = options.take_or_variable("bucket", "AWS_BUCKET");
        let bucket = bucket.ok_or_else(|| missing("bucket", "AWS_BUCKET"))?;
        let region = options.take_or_variable("region", "AWS_REGION");
        let region = region.ok_or_else(|| missing("region", "AWS_REGION"))?;
        let prefix = options.take_text("prefix", "");
        let blobs = format!("{prefix}{}", options.take_text("blobs_prefix", "blobs/"));
        let manifests = format!("{prefix}{}", options.take_text("manifests_prefix", "manifests/"));
        let path_style = options.take_bool("use_path_style")?;
        let (endpoint, path_style) = match options.take("endpoint_url") {
            Some(text) => (endpoint(&text)?, path_style),
            // A certificate for all buckets covers no dots in their names.
            None => (amazon(&region)?, bucket.contains('.')),
        };
        options.take_bool("disable_accept_encoding")?;
        match options.take("retry_mode").as_deref() {
            None | Some("standard" | "adaptive") => {}
            Some(other) => {
                return Err(Error::Option(format!("retry_mode={other}: use standard or adaptive")));
            }
        }
        Ok(Self {
            credentials: credentials(options)?,
            bucket,
            region,
            endpoint,
            path_style,
            blobs,
            manifests,
            names: options.take_names(),
            touch_refresh: options.take_span("touch_refresh", Duration::from_secs(24 * 3600))?,
            uploads: options.take_count("upload_parallelism")?.unwrap_or(4),
            attempts: options.take_count("retry_max_attempts")?,
        })
    }
}

impl S3Options {
    /// The bucket, for people.
    pub(super) fn place(&self) -> String {
        format!("{}/{}/", self.endpoint.as_str().trim_end_matches('/'), self.bucket)
    }

    /// The cache, for people.
    pub fn name(&self) -> String {
        format!("{}{}{}", self.place(), self.manifests, self.names.join(";"))
    }
}

fn endpoint(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
    url.filter(|url| url.username().is_empty() && url.query().is_none())
        .ok_or_else(|| Error::Option("endpoint_url is no address like https://s3.example.com".into()))
}

fn amazon(region: &str) -> Result<Url> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Url::parse(&format!("https://s3.{region}.{domain}"))
        .map_err(|_| Error::Option(format!("region={region} is no region")))
}

fn credentials(options: &mut Options<'_>) -> Result<Credentials> {
    let given = (options.take("access_key_id"), options.take("secret_access_key"));
    let token = options.take("session_token");
    let made = |key_id: String, secret: String, token: Option<String>| Credentials {
        key_id,
        secret: Redacted::new(secret),
        session_token: token.map(Redacted::new),
    };
    match given {
        (Some(key_id), Some(secret)) => return Ok(made(key_id, secret, token)),
        (Some(_), None) => return Err(Error::Option("secret_access_key is missing".into())),
        (None, Some(_)) => return Err(Error::Option("access_key_id is missing".into())),
        (None, None) => {}
    }
    let variables = (options.variable("AWS_ACCESS_KEY_ID"), options.variable("AWS_SECRET_ACCESS_KEY"));
    if let (Some(key_id), Some(secret)) = variables {
        return Ok(made(key_id, secret, options.variable("AWS_SESSION_TOKEN")));
    }
    from_file(options).ok_or_else(|| {
        Error::Option(
            "access_key_id and secret_access_key are missing: give them, or AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY to the daemon"
                .into(),
        )
    })
}

fn from_file(options: &Options<'_>) -> Option<Credentials> {
    let named = options.variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let file = named.or_else(|| Some(PathBuf::from(options.variable("HOME")?).join(".aws/credentials")))?;
    let text = std::fs::read_to_string(file).ok()?;
    profile(&text, options.variable("AWS_PROFILE").as_deref().unwrap_or("default"))
}

/// A section of an INI file.
fn profile(text: &str, name: &str) -> Option<Credentials> {
    let mut inside = false;
    let (mut key_id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = section.trim() == name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            let value = Some(value.trim().to_owned());
            match key.trim() {
                "aws_access_key_id" => key_id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Credentials {
        key_id: key_id?,
        secret: Redacted::new(secret?),
        session_token: token.map(Redacted::new),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn taken(text: &str, environment: &[(&str, &str)]) -> Result<S3Options> {
        let mut map: BTreeMap<String, String> = text
            .split(',')
            .filter_map(|field| field.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let environment: BTreeMap<_, _> = environment.iter().copied().collect();
        let taken = S3Options::take(&mut Options {
            take: &mut |name| map.remove(name),
            environment: &|name| environment.get(name).map(|value| (*value).to_owned()),
        })?;
        assert!(map.is_empty(), "not taken: {map:?}");
        Ok(taken)
    }

    #[test]
    fn every_option_is_taken() {
        let all = taken(
            "bucket=b,region=r,prefix=p/,blobs_prefix=x/,manifests_prefix=,name=one;two,touch_refresh=1h,\
             endpoint_url=http://127.0.0.1:9000,access_key_id=a,secret_access_key=s,session_token=t,\
             use_path_style=true,upload_parallelism=7,disable_accept_encoding=true,retry_mode=adaptive,\
             retry_max_attempts=3",
            &[],
        )
        .unwrap();
        assert_eq!((all.blobs.as_str(), all.manifests.as_str()), ("p/x/", "p/"));
        assert_eq!((all.names.len(), all.uploads, all.attempts), (2, 7, Some(3)));
        assert!(all.path_style && all.credentials.session_token.is_some());
    }

    #[test]
    fn the_environment_fills_in() {
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let place = [("AWS_BUCKET", "b"), ("AWS_REGION", "eu-west-1")];
        let found = taken("", &[keys, place].concat()).unwrap();
        assert_eq!(found.endpoint.as_str(), "https://s3.eu-west-1.amazonaws.com/");
        assert_eq!((found.blobs.as_str(), found.names[0].as_str()), ("blobs/", "buildkit"));
        for (text, named) in [
            ("region=r", "bucket"),
            ("bucket=b", "region"),
            ("bucket=b,region=r", "access_key_id"),
            ("bucket=b,region=r,access_key_id=a", "secret_access_key"),
            (
                "bucket=b,region=r,access_key_id=a,secret_access_key=s,upload_parallelism=0",
                "upload_parallelism",
            ),
            ("bucket=b,region=r,access_key_id=a,secret_access_key=s,retry_mode=x", "retry_mode"),
            ("bucket=b,region=r,access_key_id=a,secret_access_key=s,endpoint_url=x", "endpoint_url"),
        ] {
            let error = taken(text, &[]).err().unwrap_or_else(|| panic!("{text}")).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn profiles_are_sections() {
        let text = "[default]\naws_access_key_id = one\naws_secret_access_key=s\n\n[ci]\n\
                    aws_access_key_id=two\naws_secret_access_key=t\naws_session_token=u\n";
        assert_eq!(profile(text, "default").unwrap().key_id, "one");
        assert!(profile(text, "ci").unwrap().session_token.is_some());
        assert!(profile(text, "nobody").is_none());
    }
}
