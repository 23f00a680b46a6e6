//! Content of the daemon, by its digest, on standard output.

use std::io::Write;

use slipway_proto::content::ReadContentRequest;
use slipway_proto::content::content_client::ContentClient;
use slipway_session::LARGEST_MESSAGE;
use tonic::transport::Channel;

use crate::error::Failure;

pub async fn print(channel: Channel, digest: &str) -> Result<(), Failure> {
    let mut content = ContentClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    let request = ReadContentRequest { digest: digest.to_owned(), ..ReadContentRequest::default() };
    let mut stream = content.read(request).await?.into_inner();
    let mut out = std::io::stdout();
    let failed = |error: std::io::Error| Failure::new(format!("cannot write to standard output: {error}"));
    while let Some(piece) = stream.message().await? {
        out.write_all(&piece.data).map_err(failed)?;
    }
    out.flush().map_err(failed)
}
