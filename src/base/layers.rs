//! Layers of a graph, for drawings.

/// The nodes by layers: each stands in the one after the last that it needs. Within a layer they
/// are as in `order`.
///
/// - `order`: every node, after all that it needs
/// - `edges`: from, to
pub fn layers(order: &[usize], edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut layer_of = vec![0; order.len()];
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for &node in order {
        let above = edges.iter().filter(|edge| edge.1 == node);
        let layer = above.map(|edge| layer_of[edge.0] + 1).max().unwrap_or(0);
        layer_of[node] = layer;
        if layer == layers.len() {
            layers.push(Vec::new());
        }
        layers[layer].push(node);
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stands_below_the_lowest_that_it_needs() {
        let edges = [(0, 1), (0, 2), (2, 3), (0, 3)];
        assert_eq!(
            layers(&[0, 2, 1, 3], &edges),
            [vec![0], vec![2, 1], vec![3]]
        );
        assert!(layers(&[], &[]).is_empty());
    }
}
