//! What images and classes are called: it steers no terminal, table or page, and changes no figure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// An escape sequence, another direction, a formula, markup.
const HOSTILE: [&str; 4] = [
    "d\u{1b}[31mog",
    "c\u{202e}at\u{9b}2J",
    "=1+1,\"x\"",
    "a|b `c` <img src=x>\nd",
];

/// A picture of its own for every number.
fn picture(number: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(24, 20, |x, y| {
        let (x, y) = (x * (1 + number % 7), y * (1 + number % 5));
        image::Rgb([x, y, x + y + 3 * number].map(|value| (value % 256) as u8))
    });
    let mut bytes = Vec::new();
    let mut target = std::io::Cursor::new(&mut bytes);
    picture
        .write_to(&mut target, image::ImageFormat::Png)
        .unwrap();
    bytes
}

/// Pictures in classes of these names, some of them in two; two fifths are the test.
fn pictures(sandbox: &Sandbox, classes: &[&str]) {
    for number in 0..60u32 {
        let class = number as usize % classes.len();
        let split = if number % 5 < 2 { "test" } else { "train" };
        let place = |class: usize| format!("photos/{split}/{}/{number}.png", classes[class]);
        sandbox.write(&place(class), picture(number));
        if number % 6 == 0 {
            sandbox.write(&place((class + 1) % classes.len()), picture(number));
        }
    }
}

const JUDGED: &str = "\
stages:
  images: {kind: ingest, params: {source: photos}}
  features: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.25}, preprocessing: {size: 16}}}
  knn: {kind: knn, inputs: {images: images, features: features}, params: {k: [4, 1, 20], retrieval: true}}
  probe: {kind: probe, inputs: {images: images, features: features}}
  sgd: {kind: probe, inputs: {images: images, features: features}, params: {method: sgd, sgd: {epochs: 3, batch: 8}}}
";

fn steers(letter: char) -> bool {
    letter.is_control() && letter != '\n' || "\u{202e}\u{200b}".contains(letter)
}

#[test]
fn no_name_steers_what_shows_it() {
    let sandbox = Sandbox::with(&format!(
        "{JUDGED}  views: {{kind: augment, inputs: {{images: images}}, params: {{recipe: custom, size: 16, views_per_image: 1}}}}
  tuned: {{kind: finetune, inputs: {{images: images, views: views}}, params: {{network: {{name: cifar_resnet8, width: 0.25}}, training: {{epochs: 1, batch: 16, threads: 1}}}}}}
"
    ));
    pictures(&sandbox, &HOSTILE);
    let told = |arguments: &[&str]| {
        let done = sandbox.run(arguments);
        for text in [&done.stdout, &done.stderr] {
            assert!(!text.contains(steers), "{arguments:?}: {text:?}");
        }
        done
    };
    told(&["--pipeline", "other.yaml", "init", "--from", "photos"]).succeeded();
    told(&["run"]).succeeded();
    told(&["run", "--log-format", "json"]).succeeded();
    let shown = told(&["show", "images", "-n", "70"]).succeeded().stdout;
    assert!(shown.contains("d\\u{1b}[31mog"), "{shown}");
    let rows = told(&["show", "images", "-n", "70", "--json"])
        .succeeded()
        .json();
    let rows = rows["outputs"]["images"]["first"].as_array().unwrap();
    for name in HOSTILE {
        assert!(rows.iter().any(|row| row["label_name"] == name), "{name:?}");
    }
    told(&["metrics", "--verbose"]).succeeded();
    told(&["metrics", "--confusion", "knn"]).succeeded();
    let lines = told(&["metrics", "--confusion", "knn", "--csv"])
        .succeeded()
        .stdout;
    assert!(lines.contains("\n\"'=1+1,\"\"x\"\"\","), "{lines}");
    assert_eq!(lines.lines().count(), 5);
    let lines = told(&["metrics", "--confusion", "knn", "--markdown"])
        .succeeded()
        .stdout;
    assert!(
        lines.contains("| a\\|b \\`c\\` \\<img src=x\\>\\\\nd |"),
        "{lines}"
    );
    told(&["predict", "tuned", "photos"]).succeeded();
    told(&["report", "-o", "page.html"]).succeeded();
    let page = fs_err::read_to_string(sandbox.path("page.html")).unwrap();
    assert!(!page.contains(['\u{1b}', '\u{9b}', '\u{202e}']) && !page.contains("<img src=x>"));
    told(&[
        "export",
        "tuned",
        "--format",
        "safetensors",
        "-o",
        "tuned.safetensors",
    ])
    .succeeded();
    let card = fs_err::read_to_string(sandbox.path("tuned.safetensors.md")).unwrap();
    let names = card
        .lines()
        .find(|line| line.contains("names of the classes"))
        .unwrap();
    assert!(
        names.contains("a\\|b \\`c\\` \\<img src=x\\>\\\\nd") && !card.contains(steers),
        "{names}"
    );
    for (folder, arguments) in [
        ("new", &["predict", "tuned", "new"][..]),
        ("photos", &["run", "images"]),
    ] {
        sandbox.write(&format!("{folder}/bad\nerror: fake.png"), "no image");
        let said = told(arguments).exited_with(1).stderr;
        let is_fake = |line: &str| line.starts_with("error: fake");
        assert!(
            !said.lines().any(is_fake) && said.contains("\\nerror: fake.png"),
            "{said}"
        );
    }
    fs_err::remove_dir_all(sandbox.path("photos/train").join(HOSTILE[0])).unwrap();
    let explained = told(&["explain", "images"]).succeeded().stdout;
    assert!(explained.contains("`train/d\\u{1b}[31mog/"), "{explained}");
}

#[test]
fn other_names_for_the_same_classes_change_no_figure() {
    let named = |classes: [&str; 3]| {
        let sandbox = Sandbox::with(JUDGED);
        pictures(&sandbox, &classes);
        sandbox.run(&["run", "--quiet"]).succeeded();
        let plain = |text: &str| {
            let place = |name: &str| classes.iter().position(|class| *class == name);
            match text.rsplit_once('/') {
                Some((figure, class)) => format!("{figure}/{}", place(class).unwrap()),
                None => text.to_owned(),
            }
        };
        let figures = sandbox.run(&["metrics", "--json"]).succeeded().json();
        let figures = figures.as_array().unwrap().iter();
        let figures: BTreeMap<String, f64> = figures
            .map(|row| {
                let name = row["name"].as_str().unwrap();
                let stage = row["stage"].as_str().unwrap();
                (
                    format!("{stage} {}", plain(name)),
                    row["value"].as_f64().unwrap(),
                )
            })
            .collect();
        let confusion = sandbox.run(&["metrics", "--confusion", "knn", "--json"]);
        let confusion = confusion.succeeded().json();
        let at = |name: &str| {
            let known = confusion["classes"].as_array().unwrap().iter();
            known
                .clone()
                .position(|class| class["name"] == name)
                .unwrap()
        };
        let counts: Vec<Vec<Value>> = classes
            .iter()
            .map(|of| {
                let row = &confusion["counts"][at(of)];
                classes.iter().map(|taken| row[at(taken)].clone()).collect()
            })
            .collect();
        (figures, counts)
    };
    let one = named(["a", "b", "c"]);
    assert!(one.0.len() > 12, "{one:?}");
    assert_eq!(named(["c", "a", "b"]), one);
    assert_eq!(named(["z_low", "z", "y"]), one);
}
