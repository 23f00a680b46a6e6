//! Debian's `status`: paragraphs of fields (deb822), one for each package.

use slipway_model::PackageUrl;

use super::{Distribution, Package};

pub(super) fn read(text: &str, path: &str, distribution: &Distribution) -> Vec<Package> {
    text.split("\n\n").filter_map(|paragraph| package(paragraph, path, distribution)).collect()
}

fn package(paragraph: &str, path: &str, distribution: &Distribution) -> Option<Package> {
    let field = |name: &str| {
        let line = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).unwrap_or_default()
    };
    let status = field("Status");
    // Removed packages whose configuration is still there.
    if !status.is_empty() && !status.ends_with(" installed") {
        return None;
    }
    let (name, version) = (field("Package"), field("Version"));
    if name.is_empty() || version.is_empty() {
        return None;
    }
    let family = if distribution.id.is_empty() { "debian" } else { &distribution.id };
    // `Source: glibc (2.36-9)`; without it, source and package have one name.
    let source = field("Source").split(' ').next().unwrap_or_default();
    let purl = PackageUrl::new("deb", family, name, version)
        .with("arch", field("Architecture"))
        .with("distro", &distribution.name())
        .with("upstream", source);
    Some(Package { supplier: field("Maintainer").to_owned(), ..Package::new(purl, path) })
}
