//! What keeps our snapshots and blobs from containerd's garbage collection: one lease per state directory.
//!
//! Calls that make something name the lease, so that what they make is kept from the first moment, in the same
//! transaction. To let go is to take a resource off the lease. The collector then takes what nobody else needs; it
//! runs by itself after a while, or at once when a lease is deleted in that way ([`collect`]).

use std::collections::HashSet;

use slipway_proto::containerd::leases::leases_client::LeasesClient;
use slipway_proto::containerd::leases::{
    AddResourceRequest, CreateRequest, DeleteRequest, DeleteResourceRequest, ListResourcesRequest, Resource,
};
use tonic::transport::Channel;

use crate::client::{LARGEST_MESSAGE, Leased};
use crate::{Client, Result};

/// Says whose it is to people who look.
const LABEL: &str = "org.slipway.state";

pub(crate) const CONTENT: &str = "content";

/// The type of snapshots among a lease's resources.
pub(crate) fn snapshots_of(snapshotter: &str) -> String {
    format!("snapshots/{snapshotter}")
}

fn leases(client: &Client) -> LeasesClient<Channel> {
    LeasesClient::new(client.channel()).max_decoding_message_size(LARGEST_MESSAGE)
}

/// Makes the lease, if it is not there.
pub(crate) fn ensure(client: &Client, root: &str) -> Result<()> {
    let labels = [(LABEL.to_owned(), root.chars().take(2000).collect())].into();
    let message = CreateRequest { id: client.lease().to_owned(), labels };
    let (mut leases, request) = (leases(client), client.request(message, Leased::No));
    let made = client.call("make a lease", async move { leases.create(request).await });
    match made {
        Err(error) if error.already_exists() => Ok(()),
        made => made.map(drop),
    }
}

/// Keeps what others have made. Fails if it is not there.
pub(crate) fn keep(client: &Client, id: &str, kind: &str) -> Result<()> {
    let message = AddResourceRequest { id: client.lease().to_owned(), resource: resource(id, kind) };
    let (mut leases, request) = (leases(client), client.request(message, Leased::No));
    client.call(format!("keep {id}"), async move { leases.add_resource(request).await })
}

/// Lets go; fine if it was not kept.
pub(crate) fn let_go(client: &Client, id: &str, kind: &str) -> Result<()> {
    let message = DeleteResourceRequest { id: client.lease().to_owned(), resource: resource(id, kind) };
    let (mut leases, request) = (leases(client), client.request(message, Leased::No));
    let done = client.call(format!("let go of {id}"), async move { leases.delete_resource(request).await });
    // Afterwards: a collection that ran meanwhile may have missed it.
    client.note_garbage();
    match done {
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}

/// What is kept of one kind.
pub(crate) fn kept(client: &Client, kind: &str) -> Result<HashSet<String>> {
    let message = ListResourcesRequest { id: client.lease().to_owned() };
    let (mut leases, request) = (leases(client), client.request(message, Leased::No));
    let listed = client.call("list what is kept", async move { leases.list_resources(request).await });
    match listed {
        // Somebody has deleted it: then nothing is.
        Err(error) if error.is_not_found() => Ok(HashSet::new()),
        listed => {
            let resources = listed?.resources.into_iter().filter(|resource| resource.r#type == kind);
            Ok(resources.map(|resource| resource.id).collect())
        }
    }
}

/// Returns when what nobody keeps is gone.
pub(crate) fn collect(client: &Client) -> Result<()> {
    // Deleting any lease in this way is how the collector is asked to run.
    let id = format!("{}-collect", client.lease());
    let create = client.request(CreateRequest { id: id.clone(), ..Default::default() }, Leased::No);
    let delete = client.request(DeleteRequest { id, sync: true }, Leased::No);
    let mut leases = leases(client);
    client.call("collect garbage", async move {
        match leases.create(create).await {
            // Another thread is at it.
            Err(status) if status.code() == tonic::Code::AlreadyExists => {}
            created => drop(created?),
        }
        match leases.delete(delete).await {
            Err(status) if status.code() == tonic::Code::NotFound => Ok(tonic::Response::new(())),
            deleted => deleted,
        }
    })
}

fn resource(id: &str, kind: &str) -> Option<Resource> {
    Some(Resource { id: id.to_owned(), r#type: kind.to_owned() })
}
