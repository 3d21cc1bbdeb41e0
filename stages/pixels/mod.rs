//! From an image's bytes and a view's numbers to a batch that a network sees: [`pictures`], views
//! as they are stored ([`viewed`]), and the [`feed`] that renders in the background.

pub mod contact_sheet;
pub(crate) mod feed;
pub(crate) mod pictures;
pub(crate) mod view_list;
pub(crate) mod viewed;
