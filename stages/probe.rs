//! `probe`: a linear classifier on frozen, stored features: by L-BFGS to the optimum of plain
//! images, or by SGD, as papers have it, over views. Or none: what a network's own classifier said
//! is judged as it is.
//!
//! Version log: 1 first, 2 nothing hangs on the classes' numbers, 3 balanced accuracy and macro F1,
//! and intervals of every share.

use std::ops::ControlFlow;

use anyhow::{Result, bail};
use schemars::JsonSchema;
use seedpipe_artifact::{
    EMBEDDINGS, IMAGES, ImagesReader, METRICS, MetricRow, PREDICTIONS, WEIGHTS,
};
use seedpipe_base::Refusal;
use seedpipe_engine::{
    Arity, Column, Demanded, InputKinds, InputSlot, Measured, MeasuredOver, OutputSlot, Purpose,
    Stage, StageContext, Work,
};
use seedpipe_learn::probe::{LbfgsProbe, LinearClassifier, SgdProbe, fit_lbfgs, fit_sgd};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::judging::evaluation::{Features, Judging, ranked, save_classifier, write_metrics};
use crate::judging::view_features::{VIEW_FEATURES, VIEWS, ViewFeatures};
use crate::shared::invalid::{Counted, count, invalid, positive};
use crate::shared::selection::{Classes, by_content, judged, label_subset};

/// How the classifier is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Multinomial logistic regression on standardised features of plain images, to convergence:
    /// in seconds, and the same for whatever seed. No paper's protocol.
    #[default]
    Lbfgs,
    /// That of MoCo's and SEED's `main_lincls.py`, which the block `sgd` begins as. With the inputs
    /// `views` and `view_features` each epoch has another crop of each image, as theirs has;
    /// without them every epoch has the same plain image.
    Sgd,
    /// Fits nothing: the features are the network's own logits (`encode` with `embedding: logits`),
    /// one for each class of the images in their order. The output `classifier` is the identity, so
    /// that the logits serve as soft labels like any probe's.
    Logits,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Lbfgs => "lbfgs",
            Method::Sgd => "sgd",
            Method::Logits => "logits",
        }
    }
}

/// Linear probe: a classifier on the features of a frozen network, which are stored. With `method:
/// sgd` the features that it learns from may be of views: the inputs `views` and `view_features`,
/// the latter by an `encode` stage of the same network on those views. In epoch e each image is
/// seen by its view e, cycled when there are fewer; the plain `features` judge.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    #[serde(default)]
    pub method: Method,
    #[serde(default)]
    pub lbfgs: LbfgsProbe,
    #[serde(default)]
    pub sgd: SgdProbe,
    /// The split that the classifier is fitted on.
    #[serde(default = "crate::shared::selection::train_split")]
    pub train_split: String,
    /// The split whose images are judged.
    #[serde(default = "crate::shared::selection::test_split")]
    pub test_split: String,
    /// Share of the labelled images that is trained on, class balanced.
    #[serde(default = "crate::shared::selection::all_labels")]
    pub label_fraction: f64,
}

impl Stage for Probe {
    const KIND: &'static str = "probe";
    const VERSION: u32 = 3;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("images", &[IMAGES], Arity::One),
        InputSlot::new("features", &[EMBEDDINGS], Arity::One),
        InputSlot::new(VIEWS, &[seedpipe_artifact::VIEWS], Arity::Optional),
        InputSlot::new(VIEW_FEATURES, &[EMBEDDINGS], Arity::Optional),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot::new("metrics", METRICS),
        OutputSlot::new("predictions", PREDICTIONS),
        OutputSlot::new("classifier", WEIGHTS),
    ];
    const TENSORS: bool = true;
    const HEADLINE: &'static [&'static str] = &[
        "linear_top1",
        "linear_top5",
        "linear_balanced_accuracy",
        "linear_macro_f1",
        "top1",
        "top5",
        "balanced_accuracy",
        "macro_f1",
    ];
    const COLUMNS: &'static [Column] = &[
        Column::new("linear_top1", "linear top-1").main(),
        Column::new("linear_balanced_accuracy", "linear balanced"),
        Column::new("linear_macro_f1", "linear macro F1"),
        Column::new("top1", "own classifier top-1"),
        Column::new("balanced_accuracy", "own classifier balanced"),
        Column::new("macro_f1", "own classifier macro F1"),
    ];

    fn validate(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        self.check_views(inputs)?;
        if !(self.label_fraction > 0.0 && self.label_fraction <= 1.0) {
            return Err(invalid(
                "label_fraction",
                "above 0 and at most 1",
                self.label_fraction,
                "0.1 trains on a tenth of the labels",
            ));
        }
        if self.method == Method::Logits && self.label_fraction < 1.0 {
            return Err(invalid(
                "label_fraction",
                "1 with `method: logits`, which fits nothing",
                self.label_fraction,
                "leave the key out",
            ));
        }
        if self.lbfgs.l2 < 0.0 || !self.lbfgs.l2.is_finite() {
            return Err(invalid(
                "lbfgs.l2",
                "at least 0",
                self.lbfgs.l2,
                "1e-4 is the default",
            ));
        }
        positive("lbfgs.gradient_tolerance", self.lbfgs.gradient_tolerance)?;
        count(
            "lbfgs.max_iterations",
            self.lbfgs.max_iterations.into(),
            1,
            Counted::Rounds,
        )?;
        positive("sgd.learning_rate", self.sgd.learning_rate)?;
        count("sgd.batch", self.sgd.batch as u64, 1, Counted::AtOnce)?;
        count("sgd.epochs", self.sgd.epochs.into(), 1, Counted::Rounds)?;
        let sgd = self.sgd.validate();
        sgd.map_err(|refusal| refusal.within("sgd"))
    }

    fn purpose(&self) -> Purpose {
        Purpose::Judging
    }
}

impl Work for Probe {
    fn run(&self, context: &StageContext) -> Result<()> {
        let images = ImagesReader::open(&context.input("images").parts)?;
        let features = Features::open(context)?;
        let classes = Classes::of(&images)?;
        let test = classes.labelled(&images, &self.test_split)?;
        let test_features = features.of(&images, &test)?;
        let judging = Judging {
            context,
            images: &images,
            classes: &classes,
            labelled: &test,
            split: &self.test_split,
            step: 0,
        };
        if self.method == Method::Logits {
            features.require_logits(&classes)?;
            return context.shards(1, |shard| {
                let best = ranked(&test_features, &classes);
                let (_, rows) = judging.rows("", "", &best);
                write_metrics(&shard.output("metrics", "part-00000"), &rows)?;
                save_classifier(
                    &shard.output("classifier", "part-00000"),
                    &LinearClassifier::identity(classes.len()),
                )?;
                judging.write_predictions(&shard.output("predictions", "part-00000"), &best)
            });
        }
        let train = label_subset(
            &images,
            classes.labelled(&images, &self.train_split)?,
            self.label_fraction,
            context.seed(),
        );
        // Neither images nor classes have an order that hangs on what they are called.
        let train = by_content(&images, &classes, train);
        let places: Vec<i64> = classes.places().iter().map(|&place| place.into()).collect();
        let train_labels: Vec<i64> = train.iter().map(|&(_, class)| places[class]).collect();
        let mut of_epoch: Box<dyn FnMut(u32) -> Result<Tensor, Refusal>> =
            match context.optional_input(VIEW_FEATURES) {
                Some(_) => {
                    let plain = context.input("features");
                    let mut views = ViewFeatures::open(context, &images, plain, &train)?;
                    Box::new(move |epoch| views.of_epoch(epoch))
                }
                None => {
                    let same = features.of(&images, &train)?;
                    Box::new(move |_| Ok(same.shallow_clone()))
                }
            };

        context.shards(1, |shard| {
            let progress = context.progress();
            let fit = match self.method {
                Method::Lbfgs => fit_lbfgs(&of_epoch(0)?, &train_labels, classes.len(), &self.lbfgs)?,
                Method::Sgd => {
                    progress.begin(context.stage(), "epochs", self.sgd.epochs.into(), 0);
                    let mut on_epoch = |epoch: u32, loss: f64| {
                        progress.advance(1);
                        progress.measured(Measured {
                            over: MeasuredOver::Epoch,
                            step: u64::from(epoch) + 1,
                            epoch: Some(u64::from(epoch) + 1),
                            epochs: Some(self.sgd.epochs.into()),
                            split: &self.train_split,
                            values: &[("loss", loss)],
                        });
                        if context.check_cancelled().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                    };
                    let fit = fit_sgd(&mut of_epoch, &train_labels, classes.len(), &self.sgd, &mut context.rng("order", &[]), &mut on_epoch);
                    context.check_cancelled()?;
                    progress.finish();
                    fit?
                }
                Method::Logits => bail!("BUG: logits are not fitted"),
            };
            if !fit.converged && self.method == Method::Lbfgs {
                context.warn(format!("the probe stopped after {} iterations before it converged; raise `lbfgs.max_iterations`", fit.iterations));
            }
            let by_class = Tensor::from_slice(&places);
            let logits = fit.classifier.logits(&test_features).index_select(1, &by_class);
            let classifier = LinearClassifier {
                weight: fit.classifier.weight.index_select(0, &by_class),
                bias: fit.classifier.bias.index_select(0, &by_class),
            };
            let best = ranked(&logits, &classes);
            let (_, mut rows) = judging.rows("linear_", "", &best);
            rows.push(MetricRow { step: 0, split: "train".into(), name: "linear_loss".into(), value: fit.train_loss });
            write_metrics(&shard.output("metrics", "part-00000"), &rows)?;
            save_classifier(&shard.output("classifier", "part-00000"), &classifier)?;
            judging.write_predictions(&shard.output("predictions", "part-00000"), &best)
        })
    }

    fn rows(&self, context: &StageContext) -> Result<Demanded> {
        judged(context, &self.test_split)
    }
}

impl Probe {
    /// Views and their features go together, and only SGD learns in epochs.
    fn check_views(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        let [views, features] = [VIEWS, VIEW_FEATURES].map(|slot| inputs.connected(slot));
        if views != features {
            let [connected, missing] = match views {
                true => [VIEWS, VIEW_FEATURES],
                false => [VIEW_FEATURES, VIEWS],
            };
            return Err(Refusal::expected(
                format!("the input `{missing}` beside `{connected}`"),
                "none",
            )
            .key(format!("inputs.{missing}"))
            .hint(
                "`views` is a stage of kind `augment`, `view_features` the `encode` stage on it",
            ));
        }
        if features && self.method != Method::Sgd {
            return Err(invalid(
                "method",
                "`sgd` with the input `view_features`, since another view is seen in each epoch",
                format!("`{}`", self.method.name()),
                "add `method: sgd`, or leave out `views` and `view_features`",
            ));
        }
        Ok(())
    }
}
