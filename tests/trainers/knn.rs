//! `knn`: predictions, shares and figures for several k, and retrieval.

use serde_json::json;

use super::heads::compare;

const STAGE: &str = "  knn: {kind: knn, inputs: {images: images, features: features}, params: {k: [20, 5, 200], temperature: 0.07, retrieval: true}}\n";

#[test]
fn neighbours_vote_as_in_instance_discrimination() {
    // Shares are exp(similarity / 0.07) of an f32 similarity, whose rounding is multiplied by 14;
    // figures are counts, equal but for the sums' order.
    let tolerances = [("probabilities", 1e-5), ("classes", 0.0), ("test/", 1e-12)];
    compare("knn", STAGE, &tolerances, |run| {
        let inputs = json!({"images": run.parts("images", "images"), "features": run.parts("features", "embeddings")});
        let params = json!({"k": [20, 5, 200], "temperature": 0.07});
        json!({"knn": {"kind": "knn", "inputs": inputs, "params": params}})
    });
}
