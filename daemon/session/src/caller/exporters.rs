//! A client that decides what is made of a result when it has seen it.

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_proto::exporter::exporter_client::ExporterClient;
use slipway_proto::exporter::{ExporterRequest, FinalizeExportRequest, FindExportersRequest};

use super::Session;
use super::connection::origin;
use crate::{Error, LARGEST_MESSAGE, Result};

impl Session {
    /// What the client wants of a result with these facts, whose graphs it may look into by `refs`. A client that
    /// does not answer such questions wants nothing.
    pub async fn find_exporters(
        &self,
        metadata: BTreeMap<String, Bytes>,
        refs: Vec<String>,
    ) -> Result<Vec<ExporterRequest>> {
        let Ok(service) = self.require("/moby.exporter.v1.Exporter/FindExporters") else {
            return Ok(Vec::new());
        };
        let mut client =
            ExporterClient::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE);
        match client.find_exporters(FindExportersRequest { metadata, refs }).await {
            Ok(response) => Ok(response.into_inner().exporters),
            Err(status) if is_nobody(&status) => Ok(Vec::new()),
            Err(status) => Err(Error::call("the client's choice of exporters", status)),
        }
    }

    /// Tells the client that everything is exported; it may still object.
    pub async fn finalize_export(&self, exporter_response: BTreeMap<String, String>) -> Result<()> {
        let Ok(service) = self.require("/moby.exporter.v1.Exporter/FinalizeExport") else { return Ok(()) };
        let mut client = ExporterClient::with_origin(service, origin());
        match client.finalize_export(FinalizeExportRequest { exporter_response }).await {
            Err(status) if !is_nobody(&status) => Err(Error::call("the client's end of the export", status)),
            _ => Ok(()),
        }
    }
}

fn is_nobody(status: &tonic::Status) -> bool {
    matches!(status.code(), tonic::Code::Unavailable | tonic::Code::Unimplemented)
}
