//! Packages as an SPDX 2.3 document (<https://spdx.github.io/spdx-spec/v2.3/>).

use bytes::Bytes;
use serde_json::{Value, json};
use slipway_model::Digest;
use slipway_model::llb::json::Members;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Distribution, Package};
use crate::error::{Error, Result};

const NOTHING: &str = "NOASSERTION";
const ROOT: &str = "SPDXRef-DocumentRoot";
const TOOL: &str = concat!("Tool: slipway-v", env!("CARGO_PKG_VERSION"));

/// `packages` in the order given.
pub(super) fn write(
    packages: Vec<Package>,
    distribution: &Distribution,
    epoch: Option<i64>,
) -> Result<Bytes> {
    let created =
        OffsetDateTime::from_unix_timestamp(epoch.unwrap_or(0)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let created = created.format(&Rfc3339).unwrap_or_default();
    let listed: Vec<(String, Value)> = packages.iter().map(package).collect();
    let name = Some(distribution.pretty.clone()).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| "filesystem".into());
    let mut all = vec![json!({
        "name": name,
        "SPDXID": ROOT,
        "versionInfo": distribution.version,
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
    })];
    let relation = |from: &str, kind: &str, to: &str| json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to });
    let mut relationships = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", ROOT)];
    for (id, package) in listed {
        relationships.push(relation(ROOT, "CONTAINS", &id));
        all.push(package);
    }
    // Equal documents have equal names, different ones different.
    let content = Digest::of(json!([all, relationships, created]).to_string());
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("urn:slipway:sbom:{content}"),
        "creationInfo": { "created": created, "creators": [TOOL] },
        "packages": all,
        "relationships": relationships,
    });
    serde_json::to_vec(&document).map(Bytes::from).map_err(Error::json("an SBOM"))
}

fn package(package: &Package) -> (String, Value) {
    let purl = package.purl.to_string();
    let plain: String =
        package.purl.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let id = format!("SPDXRef-{}-{plain}-{}", package.purl.kind, &Digest::of(&purl).hex()[..12]);
    let supplier = match package.supplier.as_str() {
        "" => NOTHING.to_owned(),
        supplier => format!("Organization: {supplier}"),
    };
    // Databases have words of their own for licences; a document with one that SPDX does not know is not valid.
    let license = match package.license.as_str() {
        "" => None,
        license => Some(format!("declared as {license}")),
    };
    let value = Members::default()
        .text("name", &name_of(package))
        .text("SPDXID", &id)
        .text("versionInfo", &package.purl.version)
        .text("supplier", &supplier)
        .text("downloadLocation", NOTHING)
        .value("filesAnalyzed", false)
        .text("sourceInfo", &format!("found in /{}", package.found_in))
        .text("licenseConcluded", NOTHING)
        .text("licenseDeclared", NOTHING)
        .maybe("licenseComments", license)
        .text("copyrightText", NOTHING)
        .value(
            "externalRefs",
            json!([{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }]),
        );
    (id, value.into())
}

/// With its scope, where packages have one.
fn name_of(package: &Package) -> String {
    let purl = &package.purl;
    match purl.kind.as_str() {
        "npm" | "golang" | "composer" if !purl.namespace.is_empty() => {
            format!("{}/{}", purl.namespace, purl.name)
        }
        _ => purl.name.clone(),
    }
}
