//! What only tests use: golden values and the weights that fixtures give by a formula.

pub(crate) mod formula;
pub(crate) mod golden;
