//! Where in a file a network's tensors may lie, and how they are spelled there.
//!
//! By rule and not by a list: a candidate is any prefix under which some of the network's tensors
//! are found. It is whole where all that the network needs are there in the right shape.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;

use super::Checkpoint;
use super::spellings::Spelling;
use crate::graph::TensorSpec;

/// Where the network's tensors may lie, and how they are spelled there.
pub(super) struct Candidate<'spelling> {
    /// Up to a dot, or empty.
    pub prefix: String,
    pub spelling: &'spelling Spelling,
    /// Name in the file → the network's own.
    pub names: BTreeMap<String, String>,
    /// Tensors of the network that are there by name, and those of the right shape among them.
    pub present: usize,
    pub fitting: usize,
    /// Of those that it can't do without, how many don't fit.
    pub lacking: usize,
}

impl Candidate<'_> {
    pub fn is_whole(&self) -> bool {
        self.lacking == 0
    }

    /// What is to be taken comes first: what is whole, before it what has most; of several whole
    /// networks the one that people use.
    pub fn rank(&self) -> impl Ord + use<> {
        let use_of = preference(&self.prefix);
        let whole = self.is_whole().then_some(use_of);
        let most = Reverse((self.fitting, self.present));
        let place = (self.prefix.len(), self.prefix.clone());
        (whole.is_none(), whole, most, use_of, place)
    }
}

/// What people use of networks that lie side by side, by the words of their prefixes: an average or
/// a teacher before the others, and those before a student or an encoder that only follows.
fn preference(prefix: &str) -> u8 {
    let says = |words: &[&str]| {
        let mut parts = prefix.split(['.', '_']);
        parts.any(|part| words.contains(&part))
    };
    if says(&["student", "momentum", "target", "k", "key"]) {
        2
    } else if says(&["teacher", "ema", "averaged", "average", "swa"]) {
        0
    } else {
        1
    }
}

/// Every prefix under which some of the network's tensors are found.
pub(super) fn candidates<'spelling>(
    checkpoint: &Checkpoint,
    specs: &[TensorSpec],
    spelling: &'spelling Spelling,
) -> Vec<Candidate<'spelling>> {
    let by_name: BTreeMap<&str, &TensorSpec> = specs
        .iter()
        .map(|spec| (spec.name.as_str(), spec))
        .collect();
    let words: BTreeSet<&str> = spelling
        .names
        .keys()
        .flat_map(|name| name.split('.'))
        .collect();
    // Prefix → the network's own name → the name in the file, the plainest of several.
    let mut found: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for name in checkpoint.tensors.keys() {
        if let Some((prefix, own)) = place(name, spelling, &words) {
            let names = found.entry(prefix).or_default().entry(own);
            let held = names.or_insert(name);
            if name.len() < held.len() {
                *held = name;
            }
        }
    }
    let candidate = |(prefix, names): (&str, BTreeMap<&str, &str>)| {
        let named = names
            .iter()
            .map(|(own, name)| ((*name).to_owned(), (*own).to_owned()));
        let names: BTreeMap<String, String> = named.collect();
        let (mut present, mut fitting, mut needed) = (0, 0, 0);
        for (name, own) in &names {
            let Some(spec) = by_name.get(own.as_str()) else {
                continue; // a classifier that the network was not asked to have
            };
            present += 1;
            let tensor = &checkpoint.tensors[name];
            if tensor.size() == spec.shape || reshaped(tensor, spec).is_some() {
                fitting += 1;
                needed += usize::from(!spec.role.may_be_absent());
            }
        }
        let all = specs.iter().filter(|spec| !spec.role.may_be_absent());
        Candidate {
            prefix: prefix.to_owned(),
            spelling,
            names,
            present,
            fitting,
            lacking: all.count() - needed,
        }
    };
    found.into_iter().map(candidate).collect()
}

/// The shortest prefix after which a name is one of the network's, and that one. Segments that
/// begin with `_` and that the network knows nothing of are what wraps a module
/// (`_orig_mod` of torch.compile, `_fsdp_wrapped_module`), wherever they stand.
fn place<'name, 'spelling>(
    name: &'name str,
    spelling: &'spelling Spelling,
    words: &BTreeSet<&str>,
) -> Option<(&'name str, &'spelling str)> {
    let is_wrapper = |segment: &str| segment.starts_with('_') && !words.contains(segment);
    let wrapped = name.split('.').any(is_wrapper);
    let after_dots = name.match_indices('.').map(|(dot, _)| dot + 1);
    for start in std::iter::once(0).chain(after_dots) {
        let inside = &name[start..];
        let found = match wrapped && !is_wrapper(inside.split('.').next().unwrap_or_default()) {
            false => spelling.names.get(inside),
            true => {
                let segments = inside.split('.').filter(|segment| !is_wrapper(segment));
                let plain: Vec<&str> = segments.collect();
                spelling.names.get(&plain.join("."))
            }
        };
        if let Some(own) = found {
            return Some((&name[..start], own));
        }
    }
    None
}

/// A tensor that another origin keeps in another shape: a linear layer as a 1×1 convolution,
/// positions without the class token's.
pub(super) fn reshaped(tensor: &Tensor, spec: &TensorSpec) -> Option<Tensor> {
    let size = tensor.size();
    if let (&[outputs, inputs, 1, 1], &[rows, columns]) = (&size[..], &spec.shape[..])
        && [outputs, inputs] == [rows, columns]
    {
        return Some(tensor.reshape([rows, columns]));
    }
    if let (&[1, patches, width], &[1, positions, length]) = (&size[..], &spec.shape[..])
        && spec.name.ends_with("pos_embed")
        && patches + 1 == positions
        && width == length
    {
        let class = tensor.slice(1, 0, 1, 1).zeros_like();
        return Some(Tensor::cat(&[&class, tensor], 1));
    }
    None
}
