//! Alpine's `installed`: a paragraph for each package, a letter for each field.

use slipway_model::PackageUrl;

use super::{Distribution, Package};

pub(super) fn read(text: &str, path: &str, distribution: &Distribution) -> Vec<Package> {
    text.split("\n\n").filter_map(|paragraph| package(paragraph, path, distribution)).collect()
}

fn package(paragraph: &str, path: &str, distribution: &Distribution) -> Option<Package> {
    let field =
        |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let (name, version) = (field("P:"), field("V:"));
    if name.is_empty() || version.is_empty() {
        return None;
    }
    let family = if distribution.id.is_empty() { "alpine" } else { &distribution.id };
    let origin = Some(field("o:")).filter(|origin| *origin != name).unwrap_or_default();
    let purl = PackageUrl::new("apk", family, name, version)
        .with("arch", field("A:"))
        .with("distro", &distribution.name())
        .with("upstream", origin);
    let (license, supplier) = (field("L:").to_owned(), field("m:").to_owned());
    Some(Package { license, supplier, ..Package::new(purl, path) })
}
