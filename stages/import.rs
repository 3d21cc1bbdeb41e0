//! `import`: a published network's weights, for every stage and command that takes a stage's: a
//! teacher to `encode`, to `finetune`, to `export`; a student that does not begin from nothing.
//!
//! Version log: 1 first.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use seedpipe_artifact::WEIGHTS;
use seedpipe_base::Refusal;
use seedpipe_engine::{InputKinds, InputSlot, OutputSlot, Purpose, Stage, StageContext, Work};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::shared::network_artifact::{load_checkpoint, save_network, validate_architecture};

/// The weights of a checkpoint file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// `.safetensors`, or a torch.save file of either layout.
    pub checkpoint: PathBuf,
    /// Where a file holds several such networks, what the names of the wanted one's tensors begin
    /// with, as in `encode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The checkpoint's architecture: `seedpipe network inspect` tells it.
    pub network: Architecture,
    /// What the network wants done to an image; default: its architecture's.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
}

impl Stage for Import {
    const KIND: &'static str = "import";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot::new("weights", WEIGHTS)];
    const TENSORS: bool = true;

    fn sources(&self) -> Vec<PathBuf> {
        vec![self.checkpoint.clone()]
    }

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Refusal> {
        validate_architecture("network", &self.network)
    }

    fn purpose(&self) -> Purpose {
        Purpose::of_checkpoint(&self.checkpoint)
    }
}

impl Work for Import {
    fn run(&self, context: &StageContext) -> Result<()> {
        let network = load_checkpoint(
            context,
            &self.checkpoint,
            &self.network,
            self.prefix.as_deref(),
            Device::Cpu,
        )?;
        let preprocessing = self.preprocessing.clone();
        let preprocessing = preprocessing.unwrap_or_else(|| self.network.default_preprocessing());
        context.telemetry("parameters", network.graph().parameter_count() as f64);
        context.shards(1, |shard| {
            let path = shard.output("weights", "part-00000");
            save_network(&path, &network, &preprocessing)
        })
    }
}
