//! `parser/git.json`: git URLs and what they ask for.

use super::{same, text};

use serde_json::{Value, json};
use slipway_frontend::plan::git_url::{GitReference, GitUrl, Modified};

pub(super) fn url(row: &Value) -> Result<(), String> {
    {
        let input = text(row, "input").unwrap();
        same("transport", GitUrl::is_transport(input), row["isGitTransport"].as_bool().unwrap())?;
        match GitUrl::parse(input) {
            Err(error) => same("error", Some(error.to_string().as_str()), text(row, "urlError")),
            Ok(url) => {
                same("error", None, text(row, "urlError"))?;
                let mut expected = row["url"].clone();
                if let Some(query) = expected["query"].as_object() {
                    let pairs = query.iter().flat_map(|(key, values)| {
                        values.as_array().unwrap().iter().map(move |value| json!([key, value]))
                    });
                    expected["query"] = Value::Array(pairs.collect());
                }
                let mut ours = json!({
                    "host": url.host,
                    "opts": url.fragment.map(|f| json!({"Ref": f.reference, "Subdir": f.folder})),
                    "path": url.path,
                    "query": (!url.query.is_empty()).then(|| {
                        let mut query = url.query.clone();
                        query.sort();
                        query.iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>()
                    }),
                    "remote": url.remote,
                    "scheme": url.scheme,
                });
                if let Some(user) = url.user {
                    ours["user"] = json!(user);
                }
                same("url", ours, expected)
            }
        }
    }
}

pub(super) fn reference(row: &Value) -> Result<(), String> {
    match GitReference::parse(text(row, "input").unwrap()) {
        Err(error) => {
            same("error", Some(error.to_string().as_str()), text(row, "gitRefError"))?;
            same("is git", error.is_of_git(), row["gitRefIsGit"].as_bool().unwrap())
        }
        Ok(reference) => {
            same("error", None, text(row, "gitRefError"))?;
            same("fragment", reference.with_fragment(true).as_str(), text(row, "fragmentFormat").unwrap())?;
            let ours = json!({
                "Remote": reference.remote,
                "ShortName": reference.short_name,
                "Ref": reference.reference,
                "Checksum": reference.checksum,
                "SubDir": reference.folder,
                "IndistinguishableFromLocal": reference.could_be_local,
                "UnencryptedTCP": reference.unencrypted,
                "KeepGitDir": reference.keep_git_dir,
                "Submodules": reference.submodules,
                "MTime": reference.modified.map_or("", |modified| match modified {
                    Modified::Checkout => "checkout",
                    Modified::Commit => "commit",
                }),
                "FetchByCommit": reference.fetch_by_commit,
            });
            same("reference", ours, row["gitRef"].clone())
        }
    }
}
