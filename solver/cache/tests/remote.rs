//! Caches that travel: what is written is read back, and what is not right is refused.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use slipway_cache::remote::UNCOMPRESSED;
use slipway_cache::remote::compose::{Forest, Top, compose};
use slipway_cache::remote::config::Config;
use slipway_cache::remote::manifest::{CacheLayers, Form, Packed, config_descriptor, inline, pack};
use slipway_cache::remote::records::{RemoteLayer, RemoteRecords, RemoteResults};
use slipway_cache::remote::walk::{Step, walk};
use slipway_model::media_type::OCI_LAYER_GZIP;
use slipway_model::{BlobDigest, Descriptor, Digest, Manifest};
use slipway_solver::{
    Failure, KeyId, Link, MemoryRecords, OpContext, OpDigest, RecordSource, RecordStore, Selector,
};

/// Values are the numbers of layers.
struct Count;

#[async_trait]
impl RemoteResults<usize> for Count {
    async fn load(&self, layers: &[RemoteLayer], _: &OpContext<usize>) -> Result<usize, Failure> {
        Ok(layers.len())
    }
}

type Store = MemoryRecords<usize>;

fn operation(name: &str) -> OpDigest {
    OpDigest(Digest::of(name))
}

fn root(name: &str) -> KeyId {
    KeyId::root(operation(name), 0)
}

/// A key of our own making.
fn derived(name: &str) -> KeyId {
    KeyId::from_hash(*root(&format!("derived {name}")).hash())
}

fn link(name: &str, input: usize, selector: Option<&str>) -> Link {
    let selector = selector.map(|text| Selector(Digest::of(text)));
    Link { input, output: 0, operation: operation(name), selector }
}

fn blob(number: usize) -> Descriptor {
    let digest = BlobDigest(Digest::of(format!("layer {number}")));
    let mut blob = Descriptor::new(OCI_LAYER_GZIP, digest, 7);
    blob.annotations.insert(UNCOMPRESSED.into(), Digest::of(format!("tar {number}")).to_string());
    blob
}

fn layers(count: usize, form: Form) -> CacheLayers {
    let config = config_descriptor(b"{}");
    let (json, _) = pack(form, (0..count).map(blob).collect(), config.clone()).expect("JSON");
    let Ok(Packed::Cache { config: found, layers }) = Packed::parse(&json) else { panic!("no cache") };
    assert_eq!(*found, config);
    layers
}

fn imported(json: &str, blobs: usize) -> slipway_cache::Result<RemoteRecords<usize>> {
    let config = Config::parse(json.as_bytes())?;
    RemoteRecords::new("test", &config, &layers(blobs, Form::ImageManifest), Arc::new(Count))
}

/// Every step has a result of as many layers as there are steps before it.
fn exported(steps: &[Step]) -> Config {
    let mut forest = Forest::default();
    let mut below = None;
    let created = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    let top = |(number, step): (usize, &Step)| {
        let layer = forest.add(blob(number).digest, below);
        below = Some(layer);
        (!step.inputs.is_empty()).then_some(Top { layer, created })
    };
    let tops: Vec<Option<Top>> = steps.iter().enumerate().map(top).collect();
    compose(steps, &tops, &forest)
}

fn of(store: &Store, result: KeyId) -> Vec<Step> {
    let store: &dyn RecordSource<usize> = store;
    walk(&[store], &[result])
}

/// base --run--> ran --copy(0)--> copied, context --copy(1)--> copied
fn small() -> Store {
    let store = Store::new("local");
    store.link(&root("base"), &link("run", 0, Some("/")), &derived("ran"));
    store.link(&root("base config"), &link("run", 0, Some("/")), &derived("ran"));
    store.link(&derived("ran"), &link("copy", 0, None), &derived("copied"));
    store.link(&root("context"), &link("copy", 1, None), &derived("copied"));
    store
}

#[test]
fn what_is_written_is_read_back() {
    for form in [Form::ImageManifest, Form::Index { oci: true }, Form::Index { oci: false }] {
        let steps = of(&small(), derived("copied"));
        assert_eq!(steps.len(), 5);
        let json = serde_json::to_vec(&exported(&steps)).unwrap();
        let config = Config::parse(&json).unwrap();
        let cache = RemoteRecords::new("test", &config, &layers(5, form), Arc::new(Count)).unwrap();
        assert!(cache.knows(&root("base")) && cache.knows(&root("context")) && !cache.knows(&root("other")));
        let ran = cache.follow(&root("base"), &link("run", 0, Some("/")));
        assert_eq!(ran, cache.follow(&root("base config"), &link("run", 0, Some("/"))));
        assert_eq!(ran.len(), 1);
        assert!(cache.follow(&root("base"), &link("run", 0, None)).is_empty(), "the selector counts");
        assert!(cache.follow(&root("base"), &link("other", 0, Some("/"))).is_empty());
        let copied = cache.follow(&ran[0], &link("copy", 0, None));
        assert_eq!(copied, cache.follow(&root("context"), &link("copy", 1, None)));
        let records = cache.records(&copied[0]);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].created, SystemTime::UNIX_EPOCH + Duration::from_secs(9));
        let layers = cache.layers_of(&records[0].id).unwrap();
        assert_eq!(layers.len(), 5, "all below, from the bottom up");
        assert_eq!(layers[0].descriptor.digest, blob(0).digest);
        assert!(cache.records(&root("base")).is_empty());
    }
}

#[test]
fn the_way_back_is_known_where_it_was_gone() {
    let config = exported(&of(&small(), derived("copied")));
    let cache = imported(&serde_json::to_string(&config).unwrap(), 5).unwrap();
    let copied = cache.follow(&root("context"), &link("copy", 1, None))[0];
    let back = cache.origins(&copied);
    assert_eq!(back, [(root("context"), link("copy", 1, None))], "nobody has reached the other input");
    let ran = cache.follow(&root("base"), &link("run", 0, Some("/")))[0];
    assert_eq!(cache.origins(&copied).len(), 2);
    assert_eq!(cache.origins(&ran).len(), 2, "both names of the base");
    // What was imported is exported as it was.
    let again = walk(&[&cache as &dyn RecordSource<usize>], &[copied]);
    assert_eq!(serde_json::to_value(exported(&again).records).unwrap().as_array().unwrap().len(), 5);
    let digests = |config: &Config| config.records.iter().map(|r| r.digest.clone()).collect::<Vec<_>>();
    assert_eq!(digests(&exported(&again)), digests(&config));
}

#[test]
fn keys_of_equal_records_become_one() {
    let store = small();
    // The same step by another name, as an import would know it.
    store.link(&root("base"), &link("run", 0, Some("/")), &derived("ran elsewhere"));
    store.link(&derived("ran elsewhere"), &link("copy", 0, None), &derived("copied"));
    let steps = of(&store, derived("copied"));
    assert_eq!(steps.len(), 5, "{steps:#?}");
    assert!(steps.iter().any(|step| step.keys.len() == 2));
}

#[test]
fn what_leads_to_itself_is_left_out() {
    let store = small();
    store.link(&derived("copied"), &link("copy", 0, None), &derived("ran"));
    store.link(&derived("copied"), &link("copy", 0, None), &derived("copied"));
    let config = exported(&of(&store, derived("copied")));
    imported(&serde_json::to_string(&config).unwrap(), 9).unwrap();
}

#[test]
fn a_missing_layer_costs_what_is_on_it() {
    let config = exported(&of(&small(), derived("copied")));
    let json = serde_json::to_string(&config).unwrap();
    let all = imported(&json, 5).unwrap();
    assert_eq!(all.len(), 2);
    let none = imported(&json, 0).unwrap();
    assert!(none.is_empty());
    let ran = none.follow(&root("base"), &link("run", 0, Some("/")));
    assert_eq!(ran.len(), 1, "the key still leads on");
}

#[test]
fn deep_and_wide_caches_take_no_more_than_their_size() {
    const STEPS: usize = 10_000;
    let store = Store::new("local");
    for number in 0..STEPS {
        let (from, to) = (derived(&number.to_string()), derived(&(number + 1).to_string()));
        store.link(&from, &link(&format!("run {number}"), 0, None), &to);
    }
    let steps = of(&store, derived(&STEPS.to_string()));
    assert_eq!(steps.len(), STEPS + 1);
    let config = exported(&steps);
    let cache = RemoteRecords::new("test", &config, &layers(STEPS + 1, Form::ImageManifest), Arc::new(Count));
    assert_eq!(cache.unwrap().len(), STEPS);
}

#[test]
fn what_is_not_right_is_refused() {
    let digest = Digest::of("x");
    let record = |rest: &str| format!(r#"{{"records":[{{"digest":"{digest}"{rest}}}]}}"#);
    for json in [
        "nonsense".to_owned(),
        record(r#","inputs":[[{"link":0}]]"#),
        record(r#","inputs":[[{"link":1}]]"#),
        record(r#","inputs":[[{"link":-1}]]"#),
        record(r#","layers":[{"layer":0}]"#),
        record(r#","chains":[{"layers":[0]}]"#),
        r#"{"layers":[{"blob":"x","parent":0}]}"#.to_owned(),
        r#"{"layers":[{"blob":"x","parent":1},{"blob":"x","parent":0}]}"#.to_owned(),
        r#"{"layers":[{"blob":"x","parent":-2}]}"#.to_owned(),
    ] {
        assert!(imported(&json, 1).is_err(), "{json}");
    }
    // Of no use here, but nothing wrong.
    for json in [
        "{}".to_owned(),
        r#"{"layers":null,"records":null}"#.to_owned(),
        r#"{"records":[{"digest":"random:abc"}]}"#.to_owned(),
        record(r#","inputs":[[]]"#),
        record(r#","inputs":[[{"link":1,"selector":"/not/a/digest"}]]},{"digest":"random:x""#),
    ] {
        assert!(imported(&json, 1).unwrap().is_empty(), "{json}");
    }
}

#[test]
fn damage_anywhere_is_survived() {
    let good = serde_json::to_string(&exported(&of(&small(), derived("copied")))).unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let letters = b"0123456789-,:[]{}\"";
    let mut read = 0;
    for _ in 0..5_000 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            bytes[at] = letters[next(letters.len())];
        }
        let text = String::from_utf8(bytes).unwrap();
        read += usize::from(imported(&text, 5).is_ok());
    }
    assert!(read > 0, "some damage is in places that do not matter");
}

#[test]
fn images_carry_records() {
    let manifest: Manifest = serde_json::from_value(serde_json::json!({
        "schemaVersion": 2, "layers": [blob(0), blob(1)],
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob(9).digest, "size": 2},
    }))
    .unwrap();
    let config = |records: &str, layers: usize| {
        use base64::Engine as _;
        let cache = base64::engine::general_purpose::STANDARD.encode(records);
        let diff_ids: Vec<String> =
            (0..layers).map(|layer| Digest::of(format!("tar {layer}")).to_string()).collect();
        serde_json::json!({
            "os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "moby.buildkit.cache.v0": cache,
        })
        .to_string()
    };
    let (run, base) = (root("run"), root("base"));
    let of_key = |key: &KeyId| Digest::Sha256(*key.hash()).to_string();
    let records = format!(
        r#"[{{"digest":"{}","inputs":[[{{"link":1}}]],"layers":[{{"layer":1}}]}},{{"digest":"{}"}}]"#,
        of_key(&run),
        of_key(&base)
    );
    let (found, blobs) = inline(&manifest, config(&records, 2).as_bytes()).unwrap().unwrap();
    let cache = RemoteRecords::<usize>::new("image", &found, &blobs, Arc::new(Count)).unwrap();
    let key = cache.follow(&base, &link("run", 0, None))[0];
    let record = &cache.records(&key)[0];
    assert_eq!(cache.layers_of(&record.id).unwrap().len(), 2);

    assert!(inline(&manifest, config(&records, 1).as_bytes()).is_err(), "another number of layers");
    assert!(inline(&manifest, b"nonsense").is_err());
    assert!(inline(&manifest, br#"{"os":"linux","architecture":"amd64"}"#).unwrap().is_none());
}

#[test]
fn an_order_that_does_not_depend_on_how_it_was_found() {
    let one = small();
    let other = Store::new("local");
    let mut links: Vec<_> = one.all_links();
    links.reverse();
    links.iter().for_each(|(from, link, to)| other.link(from, link, to));
    let records = |store: &Store| {
        let steps = of(store, derived("copied"));
        compose(&steps, &vec![None; steps.len()], &Forest::default())
    };
    assert_eq!(records(&one), records(&other));
}
