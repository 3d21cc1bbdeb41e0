//! Parquet files, written and read a part at a time; nothing in a file is believed before it is
//! checked.

pub(crate) mod apart;
pub(crate) mod distinct;
pub(crate) mod file;
pub(crate) mod footer;
pub(crate) mod page;
pub(crate) mod part;
pub(crate) mod parts;
pub(crate) mod row;
pub(crate) mod table;
pub(crate) mod vectors;
pub(crate) mod write;
