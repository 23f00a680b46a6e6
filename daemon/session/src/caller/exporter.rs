//! Exporters of which the client says only when the result is known.
//!
//! A client that has nothing to say about exporters leaves the service out, or answers that it is unavailable; the
//! build then goes on as if it had not been asked.

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_proto::exporter::exporter_client::ExporterClient;
use slipway_proto::exporter::{ExporterRequest, FinalizeExportRequest, FindExportersRequest};
use tonic::{Code, Status};

use super::Session;
use super::connection::{SessionService, origin};
use crate::{Error, LARGEST_MESSAGE, Result};

impl Session {
    /// The exporters to run besides those of the request. `refs` name the trees of the result.
    pub async fn find_exporters(
        &self,
        metadata: &BTreeMap<String, Bytes>,
        refs: Vec<String>,
    ) -> Result<Vec<ExporterRequest>> {
        let Ok(service) = self.require("/moby.exporter.v1.Exporter/FindExporters") else {
            return Ok(Vec::new());
        };
        let request = FindExportersRequest { metadata: metadata.clone(), refs };
        match client(service).find_exporters(request).await {
            Ok(response) => Ok(response.into_inner().exporters),
            Err(status) if has_nothing_to_say(&status) => Ok(Vec::new()),
            Err(status) => Err(Error::call("which exporters to run", status)),
        }
    }

    /// Hands over what the exporters told; an error of the client is one of the build.
    pub async fn finalize_export(&self, response: &BTreeMap<String, String>) -> Result<()> {
        let Ok(service) = self.require("/moby.exporter.v1.Exporter/FinalizeExport") else { return Ok(()) };
        let request = FinalizeExportRequest { exporter_response: response.clone() };
        match client(service).finalize_export(request).await {
            Ok(_) => Ok(()),
            Err(status) if has_nothing_to_say(&status) => Ok(()),
            Err(status) => Err(Error::call("the end of the export", status)),
        }
    }
}

fn client(service: SessionService) -> ExporterClient<SessionService> {
    ExporterClient::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE)
}

fn has_nothing_to_say(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unimplemented)
}
