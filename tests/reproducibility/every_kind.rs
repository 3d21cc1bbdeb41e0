//! A reduced pipeline that has every kind, cold in seconds.

use crate::sandbox::{REPOSITORY, Sandbox, WHOLE_PIPELINE};

/// Pictures of each format for `ingest` to read from a folder.
const PHOTOS: [&str; 6] = [
    "rgb.png",
    "gray.jpg",
    "cmyk.jpg",
    "lossy.webp",
    "gray.bmp",
    "animated.gif",
];

/// `WHOLE_PIPELINE`, a folder that is read, views with every operation, a network that is
/// fine-tuned, others by SimCLR and SwAV, one from a file, one as a file, a classifier that sees
/// views, and how far the student agrees with its teacher.
pub fn with_every_kind() -> Sandbox {
    let sandbox = Sandbox::with(&format!(
        "{WHOLE_PIPELINE}  photos: {{kind: ingest, params: {{source: photos}}}}
  photo_views: {{kind: augment, inputs: {{images: photos}}, params: {{recipe: mocov2, size: 32, views_per_image: 8, split: all}}}}
  tuned: {{kind: finetune, inputs: {{images: images, views: views, weights: student}}, params: {{training: {{epochs: 1, batch: 16}}}}}}
  by_pairs: {{kind: pretrain, inputs: {{images: images, views: views}}, params: {{network: {{name: cifar_resnet8, width: 0.25}}, objective: simclr, training: {{epochs: 1, batch: 16}}}}}}
  by_prototypes: {{kind: pretrain, inputs: {{images: images, views: views}}, params: {{network: {{name: cifar_resnet8, width: 0.25}}, objective: swav, freeze_prototypes_epochs: 0, training: {{epochs: 1, batch: 16}}}}}}
  clustered: {{kind: distill, inputs: {{images: images, views: views, targets: targets}}, params: {{objective: kmeans, clusters: 5, network: {{name: cifar_resnet8, width: 0.25}}, training: {{epochs: 1, batch: 16}}}}}}
  prototyped: {{kind: distill, inputs: {{images: images, views: views, targets: targets}}, params: {{objective: swav, prototypes: 8, queue: 32, network: {{name: cifar_resnet8, width: 0.25}}, training: {{epochs: 1, batch: 16}}}}}}
  compressed: {{kind: distill, inputs: {{images: images, views: views, targets: targets}}, params: {{objective: compress, queue: 64, network: {{name: cifar_resnet8, width: 0.25}}, training: {{epochs: 1, batch: 16}}}}}}
  teacher_features: {{kind: encode, inputs: {{images: images, weights: teacher}}, params: {{embedding: features}}}}
  seen: {{kind: encode, inputs: {{images: images, views: views, weights: student}}, params: {{batch: 32}}}}
  probe_of_views: {{kind: probe, inputs: {{images: images, features: features, views: views, view_features: seen}}, params: {{method: sgd, sgd: {{learning_rate: 0.5, batch: 16, epochs: 3}}}}}}
  agreement: {{kind: agreement, inputs: {{images: images, features: features, teacher: teacher_features}}, params: {{clusters: 4}}}}
  published: {{kind: import, params: {{checkpoint: published.pth, network: {{name: resnet18, width: 0.03125}}}}}}
  shipped: {{kind: export, inputs: {{weights: student}}, params: {{format: safetensors}}}}
"
    ));
    let published = format!("{REPOSITORY}/src/learn/testdata/layouts/ddp.pth");
    sandbox.write("published.pth", fs_err::read(published).unwrap());
    for name in PHOTOS {
        let photo = format!("{REPOSITORY}/src/imaging/testdata/images/{name}");
        sandbox.write(&format!("photos/{name}"), fs_err::read(photo).unwrap());
    }
    sandbox
}
