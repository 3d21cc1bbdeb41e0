//! What `distill` does: opens views and targets, makes the student and its objective, trains, and writes the student without its head.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use seedpipe_base::Refusal;
use seedpipe_engine::{StageContext, Work};
use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::device::device;
use seedpipe_learn::network::Network;
use seedpipe_learn::queue::Queue;
use seedpipe_learn::spherical_kmeans;
use tch::Device;

use super::Distill;
use super::clusters::Clusters;
use super::in_batch::InBatch;
use super::learner::{DistillLearner, Scale, Schedule};
use super::matching::Matching;
use super::objective::{Augmentation, Objective, QueueStart};
use super::prototypes::Prototypes;
use super::queued::{Queued, Target};
use super::targets::Targets;
use super::two_memories::TwoMemories;
use crate::judging::evaluation::write_metrics;
use crate::pixels::pictures::Pictures;
use crate::pixels::viewed::Viewed;
use crate::shared::network_artifact::{initialise, save_network, trained_preprocessing};
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
        let student = initialise(context, &architecture, device)?;
        let preprocessing =
            trained_preprocessing(self.preprocessing.as_ref(), &architecture, viewed.size());
        let matching = self.matching(context, "", &student, &targets, device)?;
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
                let matching = self.matching(context, "small_", &student, &targets, device)?;
                Some(self.scale(targets, matching, count))
            }
        };
        let mut learner = DistillLearner {
            student,
            whole: self.scale(targets, matching, 1),
            small,
            schedule: Schedule {
                student: self.temperature_student,
                teacher: self.temperature_teacher,
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
                self.objective == Objective::Compress || features == dimension,
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
        let out = match self.clusters {
            Some(clusters) => clusters as i64,
            None => dimension,
        };
        Ok(Architecture {
            head: Some(Head {
                hidden,
                out,
                batch_norm: false,
            }),
            ..backbone
        })
    }

    fn scale(&self, targets: Targets, matching: Box<dyn Matching>, crops: usize) -> Scale {
        Scale {
            targets,
            matching,
            crops,
            shift: usize::from(self.augmentation == Augmentation::Independent),
            at_hand: None,
        }
    }

    /// The objective for views of one size.
    ///
    /// - `label`: prefix of what its random numbers are keyed by
    fn matching(
        &self,
        context: &StageContext,
        label: &str,
        student: &Network,
        targets: &Targets,
        device: Device,
    ) -> Result<Box<dyn Matching>> {
        let rng = |purpose: &str| context.rng(&format!("{label}{purpose}"), &[]);
        let random = |purpose: &str, dimension: i64| {
            let (rows, batch) = (number(self.queue)?, self.training.batch);
            Ok::<_, anyhow::Error>(Queue::new(
                rows,
                dimension as usize,
                batch,
                &mut rng(purpose),
                device,
            )?)
        };
        let queued = |target| {
            let queue = match self.queue_start {
                QueueStart::Random => random("queue", targets.dimension())?,
                QueueStart::Targets => {
                    let count = number(self.queue)?;
                    let rows = targets.first("queue", count, rng("queue_start"))?;
                    Queue::restore(rows, self.training.batch, 0, count)?
                }
            };
            Ok::<_, anyhow::Error>(Box::new(Queued { queue, target }))
        };
        Ok(match self.objective {
            Objective::Seed => queued(Target::Softmax)?,
            Objective::Contrastive => queued(Target::Own)?,
            Objective::Simclr => Box::new(InBatch::Simclr),
            Objective::L2 => Box::new(InBatch::L2),
            Objective::Cosine => Box::new(InBatch::Cosine),
            Objective::Kmeans => {
                let rows = targets.load(0)?;
                let (clusters, rounds) = (number(self.clusters)?, number(self.cluster_rounds)?);
                let centroids =
                    spherical_kmeans::fit(&rows, clusters, rounds, &mut rng("clusters"))
                        .context("key `clusters`")?;
                Box::new(Clusters::new(centroids, device))
            }
            Objective::Swav => {
                let queue = match number(self.queue)? {
                    0 => None,
                    _ => Some(random("queue", targets.dimension())?),
                };
                let start =
                    targets.first("prototypes", number(self.prototypes)?, rng("prototypes"))?;
                Box::new(Prototypes::new(
                    &start,
                    queue,
                    number(self.sinkhorn_epsilon)?,
                    number(self.sinkhorn_iterations)? as usize,
                ))
            }
            Objective::Compress => Box::new(TwoMemories::new(
                random("queue", targets.dimension())?,
                random("student_queue", student.embedding_dimension())?,
                student,
                number(self.encoder_momentum)?,
            )),
        })
    }
}

/// A number that the objective has: `with_defaults` has set it.
fn number<T>(value: Option<T>) -> Result<T> {
    value.context("BUG: a number of the objective is not set")
}
