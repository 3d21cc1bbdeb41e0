//! What goes with a network that leaves: its card with lines of Python ([`model_card`]), and the
//! nearest images.

pub(crate) mod model_card;
pub(crate) mod neighbours;
pub(crate) mod python_lines;
pub(crate) mod python_prepare;
pub(crate) mod python_timm;
