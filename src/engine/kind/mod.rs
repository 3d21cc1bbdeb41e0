//! What a kind of stage is. A [`stage`] declares inputs, outputs and params; its work sees a
//! [`context`]; the [`registry`] has all kinds. What a kind reports while it works goes to an
//! [`observer`], across processes as what is [`said`]; what its stages are for, tables and pages of
//! results read in a [`purpose`].

pub(crate) mod comparison;
pub(crate) mod context;
pub(crate) mod earlier;
pub(crate) mod job;
pub(crate) mod observer;
pub(crate) mod parameters;
pub(crate) mod purpose;
pub(crate) mod reference;
pub(crate) mod registry;
pub(crate) mod report;
pub(crate) mod said;
pub(crate) mod sample;
pub(crate) mod share;
pub(crate) mod stage;
