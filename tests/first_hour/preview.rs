//! `preview`: pictures that can be opened, of what was asked for.

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE};

#[test]
fn views_and_images_are_shown_as_png() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let early = sandbox.run(&["preview", "views"]).exited_with(1);
    assert!(
        early.stderr.contains("hint: run `seedpipe run views`"),
        "{}",
        early.stderr
    );
    sandbox.run(&["run", "--quiet"]).succeeded();
    let told = sandbox
        .run(&["preview", "views", "-n", "3"])
        .succeeded()
        .stdout;
    assert!(told.starts_with("wrote `views.png`, "), "{told}");
    let sheet = image::open(sandbox.path("views.png")).unwrap().into_rgb8();
    // Three images; each with its two views beside it.
    assert_eq!(sheet.width(), 8 + 3 * (160 + 8));
    assert_eq!((sheet.height() - 8) % 3, 0);
    // The boxes on the original and the frames of the views have the views' colours.
    for color in [[230, 159, 0], [0, 114, 178]] {
        let on_original = sheet
            .enumerate_pixels()
            .filter(|(x, _, pixel)| *x < 168 && pixel.0 == color)
            .count();
        let framed = sheet.pixels().filter(|pixel| pixel.0 == color).count();
        assert!(
            on_original > 50 && framed > on_original + 1000,
            "{on_original} {framed}"
        );
    }
    let again = fs_err::read(sandbox.path("views.png")).unwrap();
    sandbox
        .run(&["preview", "views", "-n", "3", "-o", "other.png"])
        .succeeded();
    assert_eq!(again, fs_err::read(sandbox.path("other.png")).unwrap());

    sandbox.run(&["preview", "images", "-n", "10"]).succeeded();
    let sheet = image::open(sandbox.path("images.png")).unwrap();
    assert_eq!(sheet.width(), 8 + 8 * (160 + 8));
    assert!(sheet.height() > 2 * (160 + 8));
}

#[test]
fn stages_without_pictures_are_refused() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    let refused = sandbox.run(&["preview", "student"]).exited_with(2);
    assert_eq!(
        refused.stderr,
        "error: stage `student` is of kind `distill`, which has no pictures to show\nhint: name a stage that makes images or views, such as those of kind `ingest` and `augment`\n"
    );
    sandbox.run(&["preview", "studnet"]).exited_with(2);
    sandbox.run(&["preview", "views", "-n", "0"]).exited_with(2);
}
