//! Where a checkpoint comes from, told by what lies in it beside the network.

/// Such as "MoCo v2"; none for plain state dicts. `spelled` says whose names the network's tensors
/// have, if not our own.
pub(super) fn origin<'names>(
    names: impl Iterator<Item = &'names str>,
    prefix: &str,
    spelled: Option<&'static str>,
) -> Option<String> {
    let names: Vec<&str> = names.collect();
    let has = |part: &str| names.iter().any(|name| name.contains(part));
    let wrapped_in = |wrapper: &str| prefix.split('.').any(|segment| segment == wrapper);
    let simclr = ["fc.0.weight", "fc.1.running_mean", "fc.3.weight"];
    let method = if wrapped_in("encoder_q") {
        let deep = names
            .iter()
            .any(|name| name.ends_with("encoder_q.fc.2.weight"));
        Some(if deep { "MoCo v2" } else { "MoCo" })
    } else if has("projection_head.") || has("prototypes.") {
        Some("SwAV")
    } else if has("dino_head.") || has("ibot_head.") {
        Some("DINOv2")
    } else if has("head.last_layer.") {
        Some("DINO")
    } else if simclr.iter().all(|part| has(part)) {
        Some("SimCLR")
    } else {
        None
    };
    match (method, spelled) {
        (None, None) => None,
        (Some(method), None) => Some(method.to_owned()),
        (None, Some(spelled)) => Some(spelled.to_owned()),
        (Some(method), Some(spelled)) => Some(format!("{method}, {spelled}")),
    }
}
