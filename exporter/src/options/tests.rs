use slipway_model::media_type::Compression;

use super::*;
use crate::exporter;

fn map(options: &[(&str, &str)]) -> OptionMap {
    options.iter().map(|(option, value)| ((*option).to_owned(), (*value).to_owned())).collect()
}

fn refused(kind: &str, options: &[(&str, &str)]) -> String {
    exporter(kind, &map(options)).err().unwrap_or_else(|| panic!("{options:?} is accepted")).to_string()
}

#[test]
fn what_buildx_sends_is_understood() {
    let (image, store) = ImageOptions::parse(&map(&[
        ("name", "a,b"),
        ("push", "true"),
        ("push-by-digest", ""),
        ("registry.insecure", "1"),
        ("compression", "zstd"),
        ("compression-level", "19"),
        ("force-compression", "true"),
        ("oci-mediatypes", "true"),
        ("annotation.k", "v"),
        ("annotation-index.i", "w"),
        ("name-canonical", ""),
        ("annotation[linux/amd64].p", "x"),
        ("source-date-epoch", "12"),
        ("rewrite-timestamp", "true"),
        ("store", "false"),
        ("dangling-name-prefix", "d"),
        ("unpack", "false"),
        ("prefer-nondist-layers", "false"),
        ("unsafe-internal-store-allow-incomplete", "true"),
    ]))
    .unwrap();
    assert_eq!(image.compress.compression, Compression::Zstd);
    assert_eq!((image.compress.level, image.force_compression), (Some(19), true));
    assert_eq!((image.epoch, image.rewrite_timestamp), (Some(Some(12)), true));
    let amd64 = "linux/amd64".parse().unwrap();
    let annotations = image.annotations.of(Some(&amd64));
    assert_eq!(
        annotations.manifest.into_iter().collect::<Vec<_>>(),
        [("k".into(), "v".into()), ("p".into(), "x".into())]
    );
    assert_eq!(annotations.index["i"], "w");
    assert!(store.push && store.push_by_digest && store.insecure && store.name_canonical && !store.store);
}

#[test]
fn what_is_wrong_is_told_by_name() {
    assert_eq!(refused("image", &[("nmae", "x")]), r#"unknown option "nmae" of exporter image"#);
    assert_eq!(refused("oci", &[("push", "true")]), r#"unknown option "push" of exporter oci"#);
    assert_eq!(refused("tar", &[("compression", "gzip")]), r#"unknown option "compression" of exporter tar"#);
    assert!(refused("image", &[("push", "maybe")]).contains("expected true or false"));
    assert!(refused("oci", &[("compression", "nydus")]).contains("not supported"));
    assert!(refused("oci", &[("compression-level", "10")]).contains("0 to 9"));
    assert!(refused("oci", &[("annotation-bogus.k", "v")]).contains("unrecognized annotation type bogus"));
    let estargz = [("compression", "estargz"), ("oci-mediatypes", "false")];
    assert!(refused("oci", &estargz).contains("conflicts"));
    let artifact = [("oci-artifact", "true"), ("oci-mediatypes", "false")];
    assert!(refused("oci", &artifact).contains("oci-artifact=true"));
    assert!(refused("image", &[("attestations", "beside")]).contains("referrers"));
    assert!(refused("tar", &[("attestations", "index")]).contains("files or none"));
    assert!(refused("local", &[("mode", "sync")]).contains("copy or delete"));
    assert!(
        refused("image", &[("annotation-index.k", "v"), ("oci-mediatypes", "false")]).contains("annotations")
    );
    assert!(refused("image", &[("rewrite-timestamp", "true"), ("unpack", "true")]).contains("conflicts"));
    assert!(refused("image", &[("push", "true")]).contains("needs a name"));
    assert!(refused("image", &[("source-date-epoch", "yesterday")]).contains("expected an integer"));
    assert!(refused("rocket", &[]).contains("unknown exporter"));
}

#[test]
fn an_empty_epoch_is_none_whatever_the_build_says() {
    let parse = |options: &[(&str, &str)]| TreeOptions::parse("tar", &map(options)).unwrap().epoch;
    assert_eq!(parse(&[]), None);
    assert_eq!(parse(&[("source-date-epoch", "")]), Some(None));
    assert_eq!(parse(&[("source-date-epoch", "-5")]), Some(Some(-5)));
}
