//! Whether a node's keys are those of its operation.

use super::description::{NodeDescription, Step};
use super::writer::Wrong;
use super::{IMAGE, LARGEST};

/// Refuses numbers out of range and keys that the operation has no use for.
pub(super) fn check_keys(node: &NodeDescription) -> Result<(), Wrong> {
    use Step::{Attention, Convolution, Depthwise, Linear, MaxPool, SqueezeExcite};
    let numbers: [(&str, Option<i64>, i64, &[Step]); 7] = [
        ("outputs", node.outputs, 1, &[Convolution, Linear]),
        ("kernel", node.kernel, 1, &[Convolution, Depthwise, MaxPool]),
        ("stride", node.stride, 1, &[Convolution, Depthwise, MaxPool]),
        (
            "padding",
            node.padding,
            0,
            &[Convolution, Depthwise, MaxPool],
        ),
        ("groups", node.groups, 1, &[Convolution]),
        ("squeezed", node.squeezed, 1, &[SqueezeExcite]),
        ("heads", node.heads, 1, &[Attention]),
    ];
    let useless = |key: &str| Err((format!("no `{key}` at `{:?}`", node.op), "one".to_owned()));
    for (key, number, smallest, users) in numbers {
        let Some(number) = number else { continue };
        if !users.contains(&node.op) {
            return useless(key);
        }
        if !(smallest..=LARGEST).contains(&number) {
            return Err((
                format!("`{key}` of {smallest} to {LARGEST}"),
                number.to_string(),
            ));
        }
    }
    if node.bias.is_some() && ![Convolution, Depthwise, Linear].contains(&node.op) {
        return useless("bias");
    }
    if node.name == IMAGE || node.name.starts_with('.') || node.name.ends_with('_') {
        let expected = "a name other than `image`, that neither begins with a dot nor ends in `_`";
        return Err((expected.to_owned(), format!("`{}`", node.name)));
    }
    Ok(())
}
