//! What cannot be exported, as the user sees it.

use super::RUN;

fn refusal(arguments: &[&str]) -> String {
    RUN.run(arguments).refusal()
}

#[test]
fn exports_that_make_no_sense_are_refused_with_the_remedy() {
    insta::assert_snapshot!(refusal(&["export", "student"]), @r"
    error: stage `student` holds a network, and no format was given
    hint: add `--format safetensors`, `torchscript` or `onnx`
    exit code 2
    ");
    insta::assert_snapshot!(refusal(&["export", "views", "--format", "onnx"]), @r"
    error: stage `views` makes no weights (kind `augment`)
    hint: name a stage of kind `import`, `pretrain`, `distill` or `finetune`; for `--with-head` a `probe`
    exit code 2
    ");
    insta::assert_snapshot!(refusal(&["export", "student", "--format", "safetensors", "--normalise"]), @r"
    error: `--normalise`: expected false, since safetensors holds weights and no computation, got true
    hint: leave it out, or write `torchscript` or `onnx`
    exit code 2
    ");
    insta::assert_snapshot!(refusal(&["export", "shipped", "--format", "onnx"]), @r"
    error: stage `shipped` says itself how it exports, and `--format` was given
    hint: change its params or inputs in the pipeline
    exit code 2
    ");
    insta::assert_snapshot!(refusal(&["export", "student", "--format", "onnx", "--set", "student.queue=32"]), @r"
    error: stage `student` is not cached, so there is nothing to export
    hint: run `seedpipe run student`
    exit code 1
    ");
    insta::assert_snapshot!(refusal(&["export", "teacher", "--format", "onnx", "--with-head", "probe"]), @r"
    error: the classifier of stage `probe` on the network of stage `teacher`: the classifier reads 512 features, the network yields 32
    hint: fit the probe on this network's own features (`embedding: features`)
    exit code 1
    ");
    insta::assert_snapshot!(refusal(&["export", "student", "--format", "onnx", "--with-head", "teacher"]), @r"
    error: weights of stage `teacher`: expected a linear classifier, got a network
    hint: connect the output `classifier` of a `probe` stage
    exit code 1
    ");
    insta::assert_snapshot!(refusal(&["export", "probe", "--format", "onnx"]), @r"
    error: stage `probe` makes a classifier, not a network
    hint: name the network's stage, and add `--with-head probe`
    exit code 2
    ");
    insta::assert_snapshot!(refusal(&["export", "student", "--format", "torchscript", "--precision", "int8"]), @r"
    error: `--precision`: expected fp32 or fp16, since only ONNX says how values are rounded, got int8
    hint: write `onnx`
    exit code 2
    ");
    insta::assert_snapshot!(refusal(&["export", "student", "--format", "onnx", "--names", "timm"]), @r"
    error: `--names`: expected torchvision, since only safetensors is loaded by its tensors' names, got timm
    hint: leave it out, or write `safetensors`
    exit code 2
    ");
    insta::assert_snapshot!(refusal(&["export", "teacher", "--format", "safetensors", "--names", "timm"]), @r"
    error: timm has no network like `cifar_resnet8`, so it has no names for its tensors
    hint: leave `names` out for the network's own
    exit code 1
    ");
    insta::assert_snapshot!(refusal(&["export", "student", "--format", "onnx", "--calibration-images", "9"]), @r"
    error: `--calibration-images` is for 8 bits, which no other precision is calibrated for
    hint: leave it out, or add `--precision int8`
    exit code 2
    ");
    insta::assert_snapshot!(refusal(&["embed", "student", "nowhere"]), @r"
    error: `nowhere`: expected an image or a folder, found nothing
    hint: check the path
    exit code 2
    ");
}
