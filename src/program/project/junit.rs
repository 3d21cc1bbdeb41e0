//! JUnit XML of reruns, as CI systems read it: one test case a stage.

use std::fmt::Write;

use seedpipe_base::neutral;
use seedpipe_engine::{RerunReport, RerunStage, Verdict};

/// The document.
///
/// - `lines`: what is to be told of a stage
pub fn document(report: &RerunReport, lines: impl Fn(&RerunStage) -> Vec<String>) -> String {
    let count = |is_counted: fn(Verdict) -> bool| {
        let stages = report.stages.iter();
        stages.filter(|stage| is_counted(stage.verdict)).count()
    };
    let totals = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\"",
        report.stages.len(),
        count(is_failure),
        count(is_error),
        report.seconds
    );
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"seedpipe\" {totals}>\n  <testsuite name=\"verify --rerun\" {totals}>\n"
    );
    for stage in &report.stages {
        let name = neutral::xml_attribute(&stage.stage);
        let class = neutral::xml_attribute(&format!("seedpipe.{}", stage.kind));
        let _ = write!(
            text,
            "    <testcase name=\"{name}\" classname=\"{class}\" time=\"{:.3}\">",
            stage.seconds
        );
        let told = lines(stage).join("\n");
        let element = match stage.verdict {
            verdict if is_failure(verdict) => Some("failure"),
            verdict if is_error(verdict) => Some("error"),
            _ => None,
        };
        let _ = match element {
            Some(element) => write!(
                text,
                "\n      <{element} type=\"{}\" message=\"{}\">{}</{element}>\n    ",
                stage.verdict.as_str(),
                neutral::xml_attribute(told.lines().next().unwrap_or_default()),
                neutral::html(&told)
            ),
            None => write!(
                text,
                "\n      <system-out>{}</system-out>\n    ",
                neutral::html(&told)
            ),
        };
        text.push_str("</testcase>\n");
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// The result is not what it should be.
fn is_failure(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Differs | Verdict::False)
}

/// There is no result.
fn is_error(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Missing | Verdict::Failed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn stage(name: &str, verdict: Verdict) -> RerunStage {
        RerunStage {
            stage: name.into(),
            kind: "augment".into(),
            verdict,
            fingerprint: None,
            content: None,
            numerics: String::new(),
            numerics_now: String::new(),
            rows: 0,
            rows_stored: 0,
            seconds: 0.25,
            created: None,
            outputs: BTreeMap::new(),
            fault: None,
        }
    }

    #[test]
    fn failures_and_errors_are_counted_and_everything_is_escaped() {
        let report = RerunReport {
            counts: BTreeMap::new(),
            stages: vec![
                stage("good", Verdict::Equal),
                stage("bad\"<&>", Verdict::Differs),
                stage("gone", Verdict::Missing),
            ],
            seconds: 1.5,
            sample: None,
        };
        let lines =
            |stage: &RerunStage| vec![format!("<{}> \u{1b}[1m", stage.kind), "a & b".into()];
        let text = document(&report, lines);
        assert!(
            text.contains("tests=\"3\" failures=\"1\" errors=\"1\" time=\"1.500\""),
            "{text}"
        );
        assert!(text.contains("name=\"bad&quot;&lt;&amp;&gt;\""), "{text}");
        assert!(
            text.contains("message=\"&lt;augment&gt; \\u{1b}[1m\""),
            "{text}"
        );
        assert!(text.contains("[1m\na &amp; b</failure>"), "{text}");
        assert!(text.contains("<error type=\"missing\""), "{text}");
        assert_eq!(text.matches("<testcase").count(), 3);
        assert_eq!(text.matches("</testcase>").count(), 3);
    }
}
