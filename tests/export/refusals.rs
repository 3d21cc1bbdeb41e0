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
    hint: name a stage of kind `pretrain`, `distill` or `finetune`; for `--with-head` a `probe`
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
    insta::assert_snapshot!(refusal(&["export", "teacher", "--format", "onnx", "--with-head", "probe"]), @"");
    insta::assert_snapshot!(refusal(&["export", "student", "--format", "onnx", "--with-head", "teacher"]), @"");
    insta::assert_snapshot!(refusal(&["export", "probe", "--format", "onnx"]), @"");
}
