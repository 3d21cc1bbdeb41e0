//! What is written to a terminal: figures and quantities in words, tables, colours, YAML on one
//! line.

pub(crate) mod colours;
pub(crate) mod figures;
pub(crate) mod output;
pub(crate) mod quantity;
pub(crate) mod tabular;
pub(crate) mod yaml_flow;
