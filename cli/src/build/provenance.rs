//! Facts for `--metadata-file` that only the daemon's history has: the build's name, and where its results came from.
//!
//! `buildx.build.ref` and `buildx.build.provenance` (with `/PLATFORM` behind it for several), as buildx names them. As
//! there, `BUILDX_METADATA_PROVENANCE` says how much: `min` (the default), `max` or `disabled`.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value;
use slipway_proto::content::ReadContentRequest;
use slipway_proto::content::content_client::ContentClient;
use slipway_proto::control::control_client::ControlClient;
use slipway_proto::control::{BuildHistoryRequest, BuildResultInfo, Descriptor};
use slipway_session::LARGEST_MESSAGE;
use tonic::transport::Channel;

const NAME: &str = "buildx.build.ref";
const PROVENANCE: &str = "buildx.build.provenance";
/// How the predicate type of provenance begins.
const SLSA: &str = "https://slsa.dev/provenance/";
/// More is not written into a file beside others.
const LARGEST: usize = 64 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Amount {
    None,
    Min,
    Max,
}

impl Amount {
    fn of_environment() -> Self {
        match std::env::var("BUILDX_METADATA_PROVENANCE").as_deref() {
            Ok("max") => Self::Max,
            Ok("disabled" | "false" | "0") => Self::None,
            _ => Self::Min,
        }
    }
}

/// What is known of the build `id`. A daemon that keeps no history has less to tell.
pub async fn facts(channel: Channel, id: &str) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([(NAME.to_owned(), id.to_owned())]);
    let amount = Amount::of_environment();
    if amount != Amount::None
        && let Ok(found) = provenance(channel, id, amount).await
    {
        facts.extend(found);
    }
    facts
}

async fn provenance(
    channel: Channel,
    id: &str,
    amount: Amount,
) -> Result<BTreeMap<String, String>, tonic::Status> {
    let request =
        BuildHistoryRequest { r#ref: id.to_owned(), early_exit: true, ..BuildHistoryRequest::default() };
    let mut control = ControlClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
    let mut events = control.listen_build_history(request).await?.into_inner();
    let record = events.message().await?.and_then(|event| event.record).unwrap_or_default();
    let named = record.results.iter().map(|(platform, info)| (format!("{PROVENANCE}/{platform}"), info));
    let named = named.chain(record.result.as_ref().map(|info| (PROVENANCE.to_owned(), info)));
    let mut found = BTreeMap::new();
    for (key, info) in named {
        let Some(descriptor) = of_slsa(info) else { continue };
        let bytes = read(channel.clone(), descriptor).await?;
        let Ok(mut predicate) = serde_json::from_slice::<Value>(&bytes) else { continue };
        if amount == Amount::Min {
            shorten(&mut predicate);
        }
        found.insert(key, base64::engine::general_purpose::STANDARD.encode(predicate.to_string()));
    }
    Ok(found)
}

fn of_slsa(info: &BuildResultInfo) -> Option<&Descriptor> {
    let kind = |descriptor: &&Descriptor| {
        let kind = descriptor.annotations.get("in-toto.io/predicate-type");
        kind.is_some_and(|kind| kind.starts_with(SLSA))
    };
    info.attestations.iter().find(kind)
}

async fn read(channel: Channel, descriptor: &Descriptor) -> Result<Vec<u8>, tonic::Status> {
    let mut content = ContentClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    let request = ReadContentRequest { digest: descriptor.digest.clone(), ..ReadContentRequest::default() };
    let mut stream = content.read(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.message().await? {
        bytes.extend_from_slice(&piece.data);
        if bytes.len() > LARGEST {
            return Err(tonic::Status::out_of_range("the provenance is too large"));
        }
    }
    Ok(bytes)
}

/// Without the graph and what is said about its steps.
fn shorten(predicate: &mut Value) {
    for (path, key) in [
        ("/buildDefinition/internalParameters", "buildConfig"),
        ("/runDetails/metadata/buildkit_metadata", "source"),
        ("/runDetails/metadata/buildkit_metadata", "layers"),
    ] {
        if let Some(members) = predicate.pointer_mut(path).and_then(Value::as_object_mut) {
            members.remove(key);
        }
    }
}
