//! The page's sections, each a function from the material to HTML that is empty when there is
//! nothing to show.

pub mod classes;
pub mod curves;
pub mod data;
pub mod headline;
pub mod lineage;
pub mod mistakes;
pub mod recipe;
pub mod size_plot;
pub mod timeline;
pub mod view_sheet;
