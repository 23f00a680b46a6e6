//! The graph of a result: its operations in the order in which they can run, named `step0`, `step1`, ….

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use slipway_model::Digest;
use slipway_model::llb::json::{Form, Members, location, operation};
use slipway_model::llb::pb::op::Op as Kind;
use slipway_model::llb::{self, VertexDigest, pb};
use slipway_worker::ops;

use crate::history::redact;

/// A definition as provenance tells it.
pub(super) struct Steps {
    definition: Vec<Value>,
    /// The end of the graph, which is no vertex, has the last number.
    pub numbers: HashMap<VertexDigest, usize>,
    head: Option<Digest>,
}

impl Steps {
    /// `secrets` are values that must not be told, by the names of their build arguments.
    pub(super) fn of(wire: &pb::Definition, decoded: &llb::Definition, secrets: &[(&str, &str)]) -> Self {
        let mut steps = Self { definition: Vec::new(), numbers: HashMap::new(), head: None };
        let Some((head, output)) = &decoded.head else { return steps };
        for (number, vertex) in ops::post_order(head).into_iter().enumerate() {
            steps.numbers.insert(vertex.digest, number);
            let inputs = vertex.inputs.iter().map(|(input, output)| steps.name(input.digest, *output));
            let inputs = inputs.collect();
            steps.add(number, redacted(&vertex.op, secrets), inputs);
        }
        let end = wire.def.last().and_then(|bytes| llb::marshal::unmarshal(bytes)).unwrap_or_default();
        steps.head = wire.def.last().map(Digest::of);
        let inputs = vec![steps.name(head.digest, *output)];
        steps.add(steps.numbers.len(), end, inputs);
        steps
    }

    fn add(&mut self, number: usize, mut op: pb::Op, inputs: Vec<Value>) {
        op.inputs.clear();
        let step = Members::default()
            .text("id", &format!("step{number}"))
            .value("op", operation(&op, Form::Go))
            .maybe("inputs", (!inputs.is_empty()).then_some(inputs));
        self.definition.push(step.into());
    }

    fn name(&self, vertex: VertexDigest, output: usize) -> Value {
        let number = self.numbers.get(&vertex).copied().unwrap_or_default();
        format!("step{number}:{output}").into()
    }

    fn mapping(&self) -> Value {
        let end = self.head.map(|head| (head.to_string(), self.numbers.len()));
        let all = self.numbers.iter().map(|(digest, number)| (digest.to_string(), *number)).chain(end);
        let mut all: Vec<_> = all.collect();
        all.sort();
        let members = all.into_iter().map(|(digest, number)| (digest, format!("step{number}").into()));
        Value::Object(members.collect::<Map<_, _>>())
    }

    /// The operations themselves; only their numbers stay.
    pub(super) fn take_build_config(&mut self) -> Value {
        self.put_into(Members::default()).into()
    }

    fn put_into(&mut self, members: Members) -> Members {
        let definition = std::mem::take(&mut self.definition);
        members
            .maybe("llbDefinition", (!definition.is_empty()).then_some(definition))
            .value("digestMapping", self.mapping())
    }

    /// The files that the graph was made from, and where in them each step is; nothing without files.
    pub(super) fn source(&self, definition: &pb::Definition) -> Option<Value> {
        let source = definition.source.as_ref().filter(|source| !source.infos.is_empty())?;
        let infos: Vec<Value> = source.infos.iter().map(info).collect();
        let places = source.locations.iter().filter_map(|(digest, places)| {
            let number = self.numbers.get(&digest.parse().ok()?)?;
            let places = Members::default().list("locations", &places.locations, location);
            Some((format!("step{number}"), Value::from(places)))
        });
        let mut places: Vec<(String, Value)> = places.collect();
        places.sort_by(|(a, _), (b, _)| a.cmp(b));
        let places: Map<String, Value> = places.into_iter().collect();
        Some(Members::default().value("locations", places).value("infos", infos).into())
    }
}

fn info(info: &pb::SourceInfo) -> Value {
    let members = Members::default()
        .text("filename", &info.filename)
        .text("language", &info.language)
        .text("data", &STANDARD.encode(&info.data));
    let Some(wire) = &info.definition else { return members.into() };
    // A graph that cannot be read was refused before; if not, its file is told without it.
    let Ok(decoded) = llb::Definition::decode(wire) else { return members.into() };
    Steps::of(wire, &decoded, &[]).put_into(members).into()
}

/// The operation without what is nobody else's business.
fn redacted(op: &pb::Op, secrets: &[(&str, &str)]) -> pb::Op {
    let mut op = op.clone();
    match &mut op.op {
        Some(Kind::Source(source)) => {
            source.identifier = redact::addresses(&source.identifier);
            source.attrs.retain(|key, _| key != "local.session" && key != "local.unique");
            for (key, value) in &mut source.attrs {
                let is_header = key.starts_with("http.header.");
                *value = if is_header { redact::HIDDEN.to_owned() } else { redact::addresses(value) };
            }
        }
        Some(Kind::Exec(exec)) => {
            let Some(meta) = &mut exec.meta else { return op };
            for variable in &mut meta.env {
                if let Some((name, _)) = secrets.iter().find(|(name, value)| is(variable, name, value)) {
                    *variable = format!("{name}={}", redact::HIDDEN);
                }
            }
            if let Some(proxy) = &mut meta.proxy_env {
                let all = [
                    &mut proxy.http_proxy,
                    &mut proxy.https_proxy,
                    &mut proxy.ftp_proxy,
                    &mut proxy.no_proxy,
                    &mut proxy.all_proxy,
                ];
                all.into_iter().for_each(|address| *address = redact::addresses(address));
            }
        }
        _ => {}
    }
    op
}

fn is(variable: &str, name: &str, value: &str) -> bool {
    variable.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) == Some(value)
}
