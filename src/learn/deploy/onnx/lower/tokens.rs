//! What vision transformers do with tokens.

use tch::Tensor;

use super::super::model::Attribute;
use super::{IMAGES, Lowering};
use crate::graph::{NodeId, Operation};

impl Lowering<'_> {
    /// Name and tensor of a parameter.
    pub(super) fn parameter(&self, node: NodeId) -> (String, Tensor) {
        let before: usize = self.graph.nodes()[..node.0]
            .iter()
            .map(|node| node.state().len())
            .sum();
        let name = self.graph.nodes()[node.0].name.clone();
        (name, self.tensors[before].shallow_clone())
    }

    pub(super) fn concatenate(&mut self, index: usize, name: &str, output: &str) {
        let node = &self.graph.nodes()[index];
        let mut parts = vec![];
        for (position, &input) in node.inputs.iter().enumerate() {
            let Operation::Parameter { shape, .. } = &self.graph.nodes()[input.0].operation else {
                parts.push(self.reads[input.0].clone());
                continue;
            };
            let (called, tensor) = self.parameter(input);
            let parameter = self.floats(&called, &tensor);
            let shape = self.integers(&format!("{name}/shape_{position}"), &shape[1..]);
            let batch = self.batch();
            let (whole, expanded) = (
                format!("{name}/whole_{position}"),
                format!("{name}/expanded_{position}"),
            );
            let axis = [("axis", Attribute::Integer(0))];
            self.operator("Concat", &whole, &[batch, shape], &whole, &axis);
            self.plain("Expand", &expanded, &[&parameter, &whole], &expanded);
            parts.push(expanded);
        }
        let axis = [("axis", Attribute::Integer(1))];
        self.operator("Concat", name, &parts, output, &axis);
    }

    /// The number of images, as a tensor of one integer.
    pub(super) fn batch(&mut self) -> String {
        let name = "batch_length";
        if !self.knows_batch {
            self.knows_batch = true;
            let first = [
                ("start", Attribute::Integer(0)),
                ("end", Attribute::Integer(1)),
            ];
            self.operator("Shape", name, &[IMAGES.to_owned()], name, &first);
        }
        name.to_owned()
    }

    pub(super) fn attention(
        &mut self,
        index: usize,
        name: &str,
        input: &str,
        output: &str,
        heads: i64,
    ) {
        let (tokens, width) = (self.shapes[index][0], self.shapes[index][1]);
        let part = |last: &str| format!("{name}/{last}");
        let split = self.integers(&part("split_shape"), &[0, tokens, 3, heads, width / heads]);
        let (parted, turned) = (part("parted"), part("turned"));
        self.plain("Reshape", &parted, &[input, &split], &parted);
        let order = [("perm", Attribute::Integers(&[2, 0, 3, 1, 4]))]; // [3, B, heads, N, C / heads]
        self.operator("Transpose", &turned, &[parted], &turned, &order);
        for (which, called) in ["queries", "keys", "values"].into_iter().enumerate() {
            let place = self.integer_scalar(&format!("place_{which}"), which as i64);
            let axis = [("axis", Attribute::Integer(0))];
            let called = part(called);
            self.operator("Gather", &called, &[turned.clone(), place], &called, &axis);
        }
        let order = [("perm", Attribute::Integers(&[0, 1, 3, 2]))];
        self.operator(
            "Transpose",
            &part("turned_keys"),
            &[part("keys")],
            &part("turned_keys"),
            &order,
        );
        let scale = self.scalar(&part("scale"), ((width / heads) as f64).sqrt().recip());
        self.plain(
            "Mul",
            &part("scaled"),
            &[&part("queries"), &scale],
            &part("scaled"),
        );
        self.plain(
            "MatMul",
            &part("scores"),
            &[&part("scaled"), &part("turned_keys")],
            &part("scores"),
        );
        let axis = [("axis", Attribute::Integer(-1))];
        self.operator(
            "Softmax",
            &part("weights"),
            &[part("scores")],
            &part("weights"),
            &axis,
        );
        self.plain(
            "MatMul",
            &part("mixed"),
            &[&part("weights"), &part("values")],
            &part("mixed"),
        );
        let order = [("perm", Attribute::Integers(&[0, 2, 1, 3]))];
        self.operator(
            "Transpose",
            &part("ordered"),
            &[part("mixed")],
            &part("ordered"),
            &order,
        );
        let joined = self.integers(&part("joined_shape"), &[0, tokens, width]);
        self.plain("Reshape", name, &[&part("ordered"), &joined], output);
    }
}
