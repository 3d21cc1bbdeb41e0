//! What several kinds share: networks as artifacts ([`network_artifact`]), which images are meant
//! ([`selection`]), refusals of params ([`invalid`]), how a kind's objectives are declared and
//! read ([`objectives`]), what every stage of a pipeline gave ([`results`]), confusion matrices
//! ([`confusion`]), logits ([`logits`]), a folder of image files ([`image_folder`]), images that are
//! there more than once ([`copies`]); which known networks a checkpoint fits ([`fitting`]), a
//! network of a stage or of such a file ([`network_source`]), and a block that knows which of its
//! keys were written ([`written`]).

pub mod confusion;
pub(crate) mod copies;
pub(crate) mod fitting;
pub mod image_folder;
pub(crate) mod invalid;
pub(crate) mod logits;
pub(crate) mod network_artifact;
pub(crate) mod network_source;
pub(crate) mod objectives;
pub mod results;
pub(crate) mod selection;
pub(crate) mod written;
