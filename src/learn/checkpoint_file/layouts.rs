//! Which of a file's tensors are the network's: finds the prefix they lie under, and accounts for
//! every tensor.
//!
//! All of the network's tensors or nothing: a partial match is an error. What lies beside a whole
//! network (a classifier that it was not asked to have, a projector, a momentum encoder, a queue, an
//! optimiser's state) is reported, not refused; but not what would belong into its body, such as
//! another block: that file is of another network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use seedpipe_base::Refusal;
use tch::Tensor;

use super::Checkpoint;
use super::candidates::{Candidate, candidates, reshaped};
use super::guesses::another;
use super::hints::{hint, nothing_found};
use super::origins::origin;
use super::spellings::spellings;
use super::timm_state::move_epsilon;
use crate::architecture::Architecture;
use crate::graph::{Graph, TensorSpec};
use crate::network::{Mismatch, described};

/// The network's tensors under its own names, and what else the file holds.
#[derive(Debug)]
pub struct Matched {
    pub weights: BTreeMap<String, Tensor>,
    /// Such as "legacy torch.save, MoCo v2, prefix `state_dict.module.encoder_q.`".
    pub layout: String,
    /// Full names in the file.
    pub leftovers: Vec<String>,
    /// Prefixes of other whole networks of this architecture in the file.
    pub others: Vec<String>,
}

/// A file whose tensors are not the network's.
#[derive(Debug)]
pub struct Unmatched {
    pub path: PathBuf,
    /// Such as "nearest layout: safetensors, plain names".
    pub layout: String,
    pub mismatch: Box<Mismatch>,
}

impl Unmatched {
    fn refusal(self) -> Refusal {
        let place = format!("`{}` ({})", self.path.display(), self.layout);
        self.mismatch.refusal().place(place)
    }
}

/// Finds the network in a file, or refuses the file with what differs. See [`try_match`].
pub fn match_network(
    checkpoint: Checkpoint,
    architecture: &Architecture,
    prefix: Option<&str>,
) -> Result<Matched, Refusal> {
    try_match(checkpoint, architecture, prefix)?.map_err(Unmatched::refusal)
}

/// Finds the network in a file, under whatever prefix all of its tensors lie; by its own names, and
/// those of the other origins that `spellings` knows.
///
/// Fails where [`Architecture::validate`] does, and where nothing lies under the prefix.
///
/// - `prefix`: the one to take, of several networks; none: as docs/how-to/teacher.md has it
pub fn try_match(
    checkpoint: Checkpoint,
    architecture: &Architecture,
    prefix: Option<&str>,
) -> Result<Result<Matched, Unmatched>, Refusal> {
    let graph = described(architecture)?;
    let specs = graph.state();
    let spellings = spellings(architecture)?;
    let mut candidates: Vec<Candidate> = spellings
        .iter()
        .flat_map(|spelling| candidates(&checkpoint, &specs, spelling))
        .collect();
    candidates.sort_by_cached_key(Candidate::rank);
    let whole: BTreeSet<&str> = candidates
        .iter()
        .filter(|candidate| candidate.is_whole())
        .map(|candidate| candidate.prefix.as_str())
        .collect();
    let mut whole: Vec<String> = whole.into_iter().map(str::to_owned).collect();
    if let Some(prefix) = prefix {
        let wanted = prefix.trim_end_matches('.');
        candidates.retain(|candidate| candidate.prefix.trim_end_matches('.') == wanted);
        if candidates.is_empty() {
            let file = checkpoint.path.display();
            return Err(Refusal::failure(format!(
                "`{file}`: expected a network's tensors under the prefix `{prefix}`, got none"
            ))
            .hint(match whole.is_empty() {
                true => format!("`seedpipe network inspect {file}` lists the names"),
                false => format!("the file holds the network under {}", listed(&whole)),
            }));
        }
    }
    // Fewer than half of the tensors are a coincidence of names.
    let best = candidates.into_iter().next();
    let counts = |best: &Candidate| best.prefix.is_empty() || 2 * best.present > specs.len();
    let Some(best) = best.filter(|best| best.is_whole() || counts(best)) else {
        return Ok(Err(nothing_found(&checkpoint, &specs)));
    };
    whole.retain(|prefix| *prefix != best.prefix);
    account(checkpoint, architecture, &graph, best, whole)
}

/// Prefixes as people read them.
pub fn listed(prefixes: &[String]) -> String {
    let named = prefixes.iter().map(|prefix| match prefix.as_str() {
        "" => "no prefix".to_owned(),
        prefix => format!("`{prefix}`"),
    });
    named.collect::<Vec<_>>().join(", ")
}

/// The parts that a network's body is made of, as `layer` of `layer1` … `layer4`: what is called
/// alike would belong to it.
struct Body<'a> {
    prefix: &'a str,
    parts: BTreeSet<String>,
}

impl<'a> Body<'a> {
    fn of(candidate: &'a Candidate, architecture: &Architecture) -> Result<Self, Refusal> {
        let body = architecture.backbone().graph()?.state();
        let body: BTreeSet<String> = body.into_iter().map(|spec| spec.name).collect();
        let spelled = candidate.spelling.names.iter();
        let spelled = spelled.filter(|(_, own)| {
            let own = own.strip_prefix("backbone.").unwrap_or(own);
            body.contains(own)
        });
        Ok(Self {
            prefix: &candidate.prefix,
            parts: spelled.map(|(name, _)| part(name).to_owned()).collect(),
        })
    }

    /// Whether a tensor that is not the network's would belong to its body.
    fn would_hold(&self, name: &str) -> bool {
        let inside = name.strip_prefix(self.prefix);
        inside.is_some_and(|inside| self.parts.contains(part(inside)))
    }
}

/// The first segment of a name without the digits that count it.
fn part(name: &str) -> &str {
    let name = name.strip_prefix("backbone.").unwrap_or(name);
    let first = name.split('.').next().unwrap_or_default();
    first.trim_end_matches(|letter: char| letter.is_ascii_digit())
}

/// Takes the network's tensors out of the file and accounts for the rest.
fn account(
    checkpoint: Checkpoint,
    architecture: &Architecture,
    graph: &Graph,
    best: Candidate,
    others: Vec<String>,
) -> Result<Result<Matched, Unmatched>, Refusal> {
    let specs = graph.state();
    let Candidate {
        prefix, spelling, ..
    } = &best;
    let names = checkpoint.tensors.keys().map(String::as_str);
    let place = match prefix.as_str() {
        "" => "plain names".to_owned(),
        prefix => format!("prefix `{prefix}`"),
    };
    let layout = match origin(names, prefix, spelling.origin) {
        Some(origin) => format!("{}, {origin}, {place}", checkpoint.format),
        None => format!("{}, {place}", checkpoint.format),
    };
    let by_name: BTreeMap<&str, &TensorSpec> = specs
        .iter()
        .map(|spec| (spec.name.as_str(), spec))
        .collect();
    let body = Body::of(&best, architecture)?;
    let mut weights = BTreeMap::new();
    let (mut leftovers, mut unexpected) = (vec![], vec![]);
    for (name, tensor) in &checkpoint.tensors {
        let own = best.names.get(name);
        let own = own.and_then(|own| by_name.get(own.as_str()));
        match own {
            Some(spec) => {
                let fits = tensor.size() == spec.shape;
                let reshaped = (!fits).then(|| reshaped(tensor, spec)).flatten();
                let tensor = reshaped.unwrap_or_else(|| tensor.shallow_clone());
                weights.insert(spec.name.clone(), tensor);
            }
            None if !best.names.contains_key(name) && body.would_hold(name) => {
                unexpected.push(name.clone());
            }
            None => leftovers.push(name.clone()),
        }
    }
    let mut mismatch = Mismatch::between(&specs, &weights);
    mismatch.extra = unexpected;
    if !mismatch.is_empty() {
        let held = [weights.len(), specs.len()];
        let guessed = another(&checkpoint, architecture);
        mismatch.hint = hint(&mismatch, architecture, held, guessed);
        return Ok(Err(Unmatched {
            path: checkpoint.path,
            layout: format!("nearest layout: {layout}"),
            mismatch: Box::new(mismatch),
        }));
    }
    if let Some(epsilon) = spelling.epsilon {
        move_epsilon(graph, &mut weights, epsilon, 1.0);
    }
    Ok(Ok(Matched {
        weights,
        layout,
        leftovers,
        others,
    }))
}
