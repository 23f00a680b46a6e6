//! The key of file actions.
//!
//! A copy reads one path of its source, so the source's selector is that path and its content may
//! stand in for it; of the path only the base name is hashed with the action, because the rest is
//! said by the selector. An input that an action builds upon becomes part of the result as a whole,
//! so it has neither. Looking up an owner by name reads two files of an input, which therefore
//! count as selected.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use slipway_model::llb::pb::{self, file_action::Action, user_opt::User};
use slipway_model::{Digest, lexical, pattern::glob};
use slipway_store::content_hash::Selector;

use super::go_json::{object, text};
use super::{CacheKey, CacheKeyError, InputKey, without_nested};

const SCRATCH: i64 = -1;

/// `inputs` is how many inputs the vertex has; indexes from there on are outputs of earlier actions.
pub fn file(op: &pb::FileOp, inputs: usize) -> Result<CacheKey, CacheKeyError> {
    if op.actions.is_empty() {
        return Err(CacheKeyError::Incomplete("file op with no actions"));
    }
    let mut parts = Parts::default();
    let actions: Vec<Option<Bytes>> = op.actions.iter().map(|action| parts.read(action, inputs)).collect();
    let wiring: Vec<Vec<i64>> =
        op.actions.iter().map(|action| vec![action.input, action.secondary_input, action.output]).collect();
    let wiring = if is_usual_chain(&wiring) { Vec::new() } else { wiring };
    let preimage = object(|fields| {
        fields.always("Type", "buildkit.file.v0").always("Actions", &actions).some("indexes", &wiring)
    });
    Ok(CacheKey::new(preimage, parts.into_inputs(inputs)?))
}

/// What the actions read of each input, and which inputs they build upon.
#[derive(Default)]
struct Parts {
    read: BTreeMap<i64, Vec<Selector>>,
    built_upon: BTreeSet<i64>,
}

impl Parts {
    /// The hashed text of an action; `None` for one of an unknown kind.
    fn read(&mut self, action: &pb::FileAction, inputs: usize) -> Option<Bytes> {
        let action_text = match action.action.as_ref()? {
            Action::Mkdir(mkdir) => {
                self.read_owner(mkdir.owner.as_ref());
                text(mkdir)
            }
            Action::Mkfile(mkfile) => {
                self.read_owner(mkfile.owner.as_ref());
                text(mkfile)
            }
            // The owner of a link is looked up but, as in the reference, not selected.
            Action::Symlink(symlink) => text(symlink),
            Action::Rm(rm) => text(rm),
            Action::Copy(copy) => self.read_copy(action, copy, inputs),
        };
        self.built_upon.insert(action.input);
        Some(Bytes::from(action_text))
    }

    fn read_copy(&mut self, action: &pb::FileAction, copy: &pb::FileActionCopy, inputs: usize) -> String {
        self.read_owner(copy.owner.as_ref());
        let from_input =
            usize::try_from(action.secondary_input).map_or(action.secondary_input != SCRATCH, |i| i < inputs);
        if !from_input {
            return text(copy);
        }
        self.read.entry(action.secondary_input).or_default().push(Selector {
            path: copy.src.clone(),
            wildcard: copy.allow_wildcard && glob::has_wildcards(copy.src.as_bytes()),
            follow_links: copy.follow_symlink,
            include: copy.include_patterns.clone(),
            exclude: copy.exclude_patterns.clone(),
            required: copy.required_paths.clone(),
        });
        // A base name is cut at slashes, so this stays UTF-8.
        let src = String::from_utf8_lossy(lexical::base(copy.src.as_bytes())).into_owned();
        text(&pb::FileActionCopy { src, ..copy.clone() })
    }

    /// A negative input is no error here: the user's then also hides the group's.
    fn read_owner(&mut self, owner: Option<&pb::ChownOpt>) {
        let Some(owner) = owner else { return };
        for (option, path) in [(&owner.user, "/etc/passwd"), (&owner.group, "/etc/group")] {
            if let Some(User::ByName(named)) = option.as_ref().and_then(|option| option.user.as_ref()) {
                if named.input < 0 {
                    return;
                }
                let file = Selector { path: path.into(), follow_links: true, ..Selector::default() };
                self.read.entry(named.input).or_default().push(file);
            }
        }
    }

    fn into_inputs(self, inputs: usize) -> Result<Vec<InputKey>, CacheKeyError> {
        let mut keys = vec![InputKey::default(); inputs];
        for (index, selectors) in self.read {
            let key = usize::try_from(index)
                .ok()
                .and_then(|index| keys.get_mut(index))
                .ok_or(CacheKeyError::FileInput { index, inputs })?;
            if !self.built_upon.contains(&index) {
                *key = InputKey {
                    selector: Some(selector_digest(&selectors)),
                    content: Some(distinct(selectors)),
                };
            }
        }
        Ok(keys)
    }
}

/// All paths, descending: an order that once happened and that old caches hold.
fn selector_digest(selectors: &[Selector]) -> Digest {
    let mut paths: Vec<&str> = selectors.iter().map(|selector| selector.path.as_str()).collect();
    paths.sort_unstable();
    paths.reverse();
    Digest::of(paths.join("\0"))
}

/// Plain paths lose doubles and nested ones; filtered ones stay. Sorted by path.
fn distinct(selectors: Vec<Selector>) -> Vec<Selector> {
    let (filtered, plain): (Vec<_>, Vec<_>) = selectors.into_iter().partition(Selector::is_filtered);
    let plain_paths = |follow_links: bool| -> Vec<String> {
        plain
            .iter()
            .filter(|selector| selector.follow_links == follow_links)
            .map(|s| s.path.clone())
            .collect()
    };
    let mut kept = Vec::new();
    for follow_links in [false, true] {
        let paths = without_nested(&plain_paths(follow_links));
        kept.extend(paths.into_iter().map(|path| Selector { path, follow_links, ..Selector::default() }));
    }
    kept.extend(filtered);
    kept.sort_by(|one, other| one.path.cmp(&other.path));
    kept
}

/// Each action builds on the one before, reads the second input or nothing, and only the last is an
/// output. Keys made before the wiring was hashed stay valid for this shape.
fn is_usual_chain(wiring: &[Vec<i64>]) -> bool {
    let count = wiring.len();
    wiring.iter().enumerate().all(|(index, wires)| {
        let last = index + 1 == count;
        let base = if index == 0 { 0 } else { count + index - 1 };
        matches!(wires.as_slice(), [input, secondary, output]
            if usize::try_from(*input) == Ok(base)
                && (*secondary == SCRATCH || *secondary == 1)
                && *output == if last { 0 } else { -1 })
    })
}
