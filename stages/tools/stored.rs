//! Whether a network's features may be compared with embeddings that are stored already: of a file
//! by `embed`, or of an `encode` stage.

use anyhow::{Context, Result, bail};
use seedpipe_artifact::{EmbeddingsHeader, Metadata, Of};
use seedpipe_base::Refusal;
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use serde_json::Value;

use crate::shared::logits::holds_logits;
use crate::tools::predictor::Identity;

const NETWORK: &str = "network";
const PREPROCESSING: &str = "preprocessing";
/// Digits of a digest in messages.
const DIGITS: usize = 12;

/// What `embed` says of its file.
///
/// # Errors
/// None but bugs: a preprocessing is JSON always.
pub fn said(identity: &Identity) -> Result<Metadata> {
    Ok(Metadata::from([
        (NETWORK.to_owned(), identity.features.clone()),
        (
            PREPROCESSING.to_owned(),
            serde_json::to_string(&identity.preprocessing)?,
        ),
    ]))
}

/// Refuses a file of another network, or of images that were prepared in another way; `place` is
/// the file for messages.
///
/// # Errors
/// A message for the user.
pub fn check_file(place: &str, metadata: &Metadata, identity: &Identity) -> Result<()> {
    let (Some(network), Some(preprocessing)) = (metadata.get(NETWORK), metadata.get(PREPROCESSING))
    else {
        bail!(
            Refusal::failure(format!(
                "{place} doesn't say which network made its embeddings"
            ))
            .hint("write it again with `seedpipe embed … -o FILE.parquet`")
        );
    };
    if *network != identity.features {
        return Err(other_network(place, network, &identity.features));
    }
    let preprocessing: Preprocessing = serde_json::from_str(preprocessing)
        .with_context(|| format!("{place}: its `{PREPROCESSING}`"))?;
    check_preprocessing(place, &preprocessing, identity)
}

/// Refuses an `encode` stage's embeddings that are not this network's features of whole images.
///
/// - `params`: of the stage's recipe
///
/// # Errors
/// A message for the user.
pub fn check_stage(
    place: &str,
    header: &EmbeddingsHeader,
    params: &Value,
    identity: &Identity,
) -> Result<()> {
    if header.of == Of::Views {
        bail!(
            Refusal::failure(format!(
                "{place} holds embeddings of views, expected of whole images"
            ))
            .hint("name an `encode` stage without the input `views`")
        );
    }
    if header.network != identity.features && header.network != identity.network {
        return Err(other_network(place, &header.network, &identity.network));
    }
    let with_head = identity.has_head && header.network == identity.network;
    let embedding = params["embedding"].as_str().unwrap_or("auto");
    if holds_logits(header) || (with_head && embedding != "features") {
        let got = if holds_logits(header) {
            "its classifier's logits"
        } else {
            "its head's embeddings"
        };
        bail!(
            Refusal::failure(format!(
                "{place} holds {got}, expected the network's features"
            ))
            .hint("name an `encode` stage with `embedding: features`")
        );
    }
    let own: Option<Preprocessing> = serde_json::from_value(params[PREPROCESSING].clone())?;
    let network: Option<Architecture> = serde_json::from_value(params[NETWORK].clone())?;
    let of_network = network.map(|network| network.default_preprocessing());
    match own.or(of_network) {
        Some(preprocessing) => check_preprocessing(place, &preprocessing, identity),
        None => Ok(()), // it travels with the weights
    }
}

fn check_preprocessing(place: &str, stored: &Preprocessing, identity: &Identity) -> Result<()> {
    if *stored == identity.preprocessing {
        return Ok(());
    }
    bail!(
        Refusal::failure(format!(
            "{place} was made of images prepared as {}, and this network prepares them as {}",
            serde_json::to_string(stored)?,
            serde_json::to_string(&identity.preprocessing)?
        ))
        .hint("embed the images again")
    )
}

fn other_network(place: &str, stored: &str, own: &str) -> anyhow::Error {
    let short = |digest: &str| digest.chars().take(DIGITS).collect::<String>();
    anyhow::anyhow!(
        Refusal::failure(format!(
            "{place} holds embeddings of another network: expected network {}, got {}",
            short(own),
            short(stored)
        ))
        .hint("name the network that made them, or embed the images again with this one")
    )
}

#[cfg(test)]
mod tests {
    use seedpipe_artifact::Precision;
    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        Identity {
            features: "f".repeat(64),
            network: "a".repeat(64),
            has_head: true,
            preprocessing: Preprocessing::default(),
        }
    }

    fn header(network: &str) -> EmbeddingsHeader {
        EmbeddingsHeader {
            of: Of::Images,
            precision: Precision::F32,
            dimension: 4,
            normalised: false,
            network: network.repeat(64),
            extra: Metadata::new(),
        }
    }

    #[test]
    fn a_files_own_words_are_accepted_and_others_refused() {
        let identity = identity();
        let metadata = said(&identity).unwrap();
        check_file("`a`", &metadata, &identity).unwrap();
        let refused = |other: &Identity| {
            let error = check_file("`a`", &metadata, other).unwrap_err();
            error.to_string()
        };
        let mut other = identity.clone();
        other.features = "e".repeat(64);
        assert!(refused(&other).starts_with(
            "`a` holds embeddings of another network: expected network eeeeeeeeeeee, got ffffffffffff\n"
        ));
        let mut other = identity.clone();
        other.preprocessing.size = 99;
        assert!(refused(&other).contains("\"size\":99"));
        let nothing = check_file("`a`", &Metadata::new(), &identity).unwrap_err();
        assert!(nothing.to_string().contains("doesn't say which network"));
    }

    #[test]
    fn of_a_stage_only_features_of_whole_images_are_accepted() {
        let identity = identity();
        let check = |header: &EmbeddingsHeader, params: Value| {
            check_stage("stage `x`", header, &params, &identity).map_err(|e| e.to_string())
        };
        check(&header("f"), json!({"embedding": "auto"})).unwrap();
        check(&header("a"), json!({"embedding": "features"})).unwrap();
        let refused = |header: &EmbeddingsHeader, params| check(header, params).unwrap_err();
        assert!(refused(&header("a"), json!({"embedding": "auto"})).contains("its head's"));
        assert!(refused(&header("b"), json!({})).contains("another network"));
        let views = EmbeddingsHeader {
            of: Of::Views,
            ..header("f")
        };
        assert!(refused(&views, json!({})).contains("of views"));
        let small = json!({"preprocessing": {"size": 32}});
        assert!(refused(&header("f"), small).contains("\"size\":32"));
    }
}
