//! What `distill` does: opens views and targets, makes the student and its objective, trains, and
//! writes the student without its head.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use seedpipe_base::Refusal;
use seedpipe_engine::{StageContext, Work};
use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::device::device;

use super::learner::{DistillLearner, SizedViews, TemperatureSchedule};
use super::objectives::{Matching, Setup, StudentOutput};
use super::targets::Targets;
use super::{Augmentation, Distill};
use crate::judging::evaluation::write_metrics;
use crate::pixels::pictures::Pictures;
use crate::pixels::viewed::Viewed;
use crate::shared::network_artifact::{
    initialise, initialise_from, load_network, save_network, trained_preprocessing,
};
use crate::training::{Crops, Samples, train};

impl Work for Distill {
    fn run(&self, context: &StageContext) -> Result<()> {
        let device = device(context.device())?;
        let parts = &context.input("images").parts;
        let pictures = Arc::new(Pictures::open(parts, self.training.decode)?);
        let viewed = self.open_views(context, "views", &pictures)?;
        let targets = Targets::open(context, "targets", "views", &viewed, device)?;
        let dimension = targets.dimension();

        let architecture = self.student(context, dimension)?;
        let student = match context.optional_input("weights") {
            None => initialise(context, &architecture, device)?,
            Some(input) => {
                let begun = load_network(input, device)?.network;
                initialise_from(context, &architecture, &begun, device)
                    .context("input `weights`")?
            }
        };
        let preprocessing =
            trained_preprocessing(self.preprocessing.as_ref(), &architecture, viewed.size());
        let matching = |label, targets: &Targets| {
            self.objective.work().matching(&Setup {
                context,
                label,
                student: &student,
                targets,
                batch: self.training.batch,
                device,
            })
        };
        let whole = matching("", &targets)?;
        let mut crops = vec![Crops {
            viewed: viewed.clone(),
            views: 1,
        }];
        let small = match self.small_crops {
            None => None,
            Some(count) => {
                let small = self.open_small_views(context, &pictures, &viewed, count)?;
                let targets =
                    Targets::open(context, "small_targets", "small_views", &small, device)?;
                ensure!(
                    targets.dimension() == dimension,
                    Refusal::failure(format!(
                        "input `small_targets`: expected embeddings of the same teacher, of dimension {dimension}, got {}",
                        targets.dimension()
                    ))
                    .stage(context.stage())
                    .hint("`targets` and `small_targets` come from one network with one `embedding`")
                );
                crops.push(Crops {
                    viewed: small,
                    views: count,
                });
                let matching = matching("small_", &targets)?;
                Some(self.scale(targets, matching, count))
            }
        };
        let whole = self.scale(targets, whole, 1);
        let [student_temperature, teacher_temperature] = self.objective.temperatures();
        let mut learner = DistillLearner {
            student,
            whole,
            small,
            schedule: TemperatureSchedule {
                student: student_temperature,
                teacher: teacher_temperature,
                batches_per_epoch: self.training.steps_per_epoch(viewed.len())
                    * self.training.accumulate,
            },
            temperatures: None,
            precision: self.training.precision,
        };
        let samples = Samples {
            positions: Arc::new((0..viewed.len() as u32).collect()),
            preprocessing: preprocessing.clone(),
            crops,
            pictures,
            device,
        };
        context.shards(1, |shard| {
            let rows = train(context, &self.training, &samples, &mut learner)?;
            let student = learner.student.without_head();
            context.telemetry("parameters", student.graph().parameter_count() as f64);
            save_network(
                &shard.output("weights", "part-00000"),
                &student,
                &preprocessing,
            )?;
            write_metrics(&shard.output("metrics", "part-00000"), &rows)
        })
    }
}

impl Distill {
    fn open_views(
        &self,
        context: &StageContext,
        slot: &str,
        pictures: &Pictures,
    ) -> Result<Arc<Viewed>> {
        let input = context.input(slot);
        let viewed = Viewed::open(&input.parts, pictures.images())?;
        ensure!(
            self.augmentation == Augmentation::Shared || viewed.views() >= 2,
            Refusal::failure(format!(
                "input `{slot}`: expected at least 2 views of each image, since `augmentation: independent` takes the target of another view, got 1"
            ))
            .stage(context.stage())
            .hint(format!("set `views_per_image` of stage `{}` to 2 or more", input.stage))
        );
        Ok(Arc::new(viewed))
    }

    /// Views of the same images in the same order, enough of each for a batch.
    fn open_small_views(
        &self,
        context: &StageContext,
        pictures: &Pictures,
        viewed: &Viewed,
        count: usize,
    ) -> Result<Arc<Viewed>> {
        let small = self.open_views(context, "small_views", pictures)?;
        let images = |viewed: &Viewed| {
            (0..viewed.len())
                .map(|place| viewed.image(place))
                .collect::<Vec<_>>()
        };
        ensure!(
            images(&small) == images(viewed),
            Refusal::failure(format!(
                "input `small_views`: expected views of the {} images that `views` looks at, got views of {} others or in another order",
                viewed.len(),
                small.len()
            ))
            .stage(context.stage())
            .hint("give both `augment` stages the same `images` and `split`")
        );
        ensure!(
            small.views() >= count,
            Refusal::failure(format!(
                "expected at most the {} small views that each image has, got {count}",
                small.views()
            ))
            .stage(context.stage())
            .key("small_crops")
            .hint(format!(
                "set `views_per_image` of stage `{}` to {count} times the epochs, or to a multiple of {count} that training cycles through",
                context.input("small_views").stage
            ))
        );
        Ok(small)
    }

    /// The student with the head that it learns with.
    ///
    /// - `dimension`: of the teacher's embedding
    fn student(&self, context: &StageContext, dimension: i64) -> Result<Architecture> {
        let backbone = self.network.backbone();
        if !self.has_head() {
            let features = backbone.feature_dimension()?;
            ensure!(
                self.objective.output() == StudentOutput::Any || features == dimension,
                Refusal::failure(format!(
                    "expected a student with the teacher's {dimension} features, since `head: false` compares them with its embedding, got {features}"
                ))
                .stage(context.stage())
                .key("head")
                .hint("leave `head` out: its last layer has the teacher's dimension")
            );
            return Ok(backbone);
        }
        let hidden = match &self.head_hidden {
            Some(hidden) => hidden.clone(),
            None => backbone.feature_dimension().into_iter().collect(),
        };
        let out = match self.objective.output() {
            StudentOutput::Logits(logits) => logits,
            _ => dimension,
        };
        Ok(Architecture {
            head: Some(Head::new(hidden, out)),
            ..backbone
        })
    }

    fn scale(&self, targets: Targets, matching: Box<dyn Matching>, crops: usize) -> SizedViews {
        SizedViews {
            targets,
            matching,
            crops,
            shift: usize::from(self.augmentation == Augmentation::Independent),
            at_hand: None,
        }
    }
}
