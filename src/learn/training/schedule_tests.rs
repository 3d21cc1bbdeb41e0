use super::*;
use crate::testing::golden::{Fixture, assert_close};
use proptest::prelude::*;

#[test]
fn golden_lr_schedule() {
    let fixture = Fixture::load("lr_schedule");
    for case in fixture.cases() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let (base, multiplier) = (number("base_lr"), number("batch_over_256"));
        let (epochs, warmup_epochs) = (number("epochs") as u32, number("warmup_epochs") as u32);
        let expected = case["lr"].as_array().unwrap();
        assert_eq!(expected.len(), epochs as usize);
        let schedule = Schedule::Official { warmup_epochs };
        let length = Length {
            epochs,
            steps_per_epoch: 7,
        };
        for (epoch, value) in (0u32..).zip(expected) {
            let value = value.as_f64().unwrap();
            let place = format!("epoch {epoch}");
            assert_close(
                &place,
                official(base, multiplier, epochs, warmup_epochs, epoch),
                value,
                1e-12,
            );
            for step in [0, 6] {
                let rate =
                    schedule.learning_rate(base, multiplier, u64::from(epoch) * 7 + step, length);
                assert_close(&place, rate, value, 1e-12);
            }
        }
    }
}

fn cosine_after(warmup_epochs: f64) -> Schedule {
    Schedule::Cosine {
        warmup_epochs,
        per: Per::Step,
    }
}

#[test]
fn golden_schedules_of_pytorch() {
    let golden = &Fixture::of_testdata("optimisers").json["schedules"];
    let whole = |key: &str| golden[key].as_u64().unwrap();
    let (epochs, steps_per_epoch) = (whole("epochs"), whole("steps_per_epoch"));
    let length = Length {
        epochs: epochs as u32,
        steps_per_epoch,
    };
    let base = golden["base"].as_f64().unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 9);
    for case in cases {
        let schedule: Schedule = serde_json::from_value(case["schedule"].clone()).unwrap();
        schedule.validate(length.epochs).unwrap();
        let expected = case["rates"].as_array().unwrap();
        // A value for each step, or for each epoch.
        let steps = epochs * steps_per_epoch / expected.len() as u64;
        assert!(steps == 1 || steps == steps_per_epoch);
        for step in 0..epochs * steps_per_epoch {
            let rate = schedule.learning_rate(base, 1.0, step, length);
            let expected = expected[(step / steps) as usize].as_f64().unwrap();
            assert_close(&format!("{schedule:?}, step {step}"), rate, expected, 1e-12);
        }
    }
}

#[test]
fn the_cosine_halves_at_half_time_and_ends_near_zero() {
    assert_eq!(cosine(0.4, 100, 0), 0.4);
    assert!((cosine(0.4, 100, 50) - 0.2).abs() < 1e-15);
    assert!(cosine(0.4, 100, 100).abs() < 1e-15);
}

#[test]
fn warm_up_by_steps_rises_to_the_cosine() {
    let length = Length {
        epochs: 10,
        steps_per_epoch: 8,
    };
    let schedule = cosine_after(0.5);
    let rate = |step| schedule.learning_rate(1.0, 2.0, step, length);
    assert_eq!([rate(0), rate(1), rate(2)], [0.5, 1.0, 1.5]);
    assert_eq!(rate(3), cosine(2.0, 80, 3));
    assert_eq!(rate(40), cosine(2.0, 80, 40));
}

#[test]
fn the_probes_rate_falls_at_60_and_80() {
    let schedule: Schedule = serde_json::from_str(r#"{"kind": "steps"}"#).unwrap();
    let rate = |epoch: u64| {
        schedule.learning_rate(
            30.0,
            1.0,
            epoch,
            Length {
                epochs: 100,
                steps_per_epoch: 1,
            },
        )
    };
    assert_eq!(
        [rate(0), rate(59), rate(60), rate(79)],
        [30.0, 30.0, 3.0, 3.0]
    );
    assert!((rate(80) - 0.3).abs() < 1e-15 && rate(80) == rate(99));
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let parse = |text: &str| serde_json::from_str::<Schedule>(text);
    assert!(parse(r#"{"kind": "cosine", "warmup": 1}"#).is_err());
    assert!(parse(r#"{"kind": "linear"}"#).is_err());
    assert!(Schedule::Official { warmup_epochs: 5 }.validate(5).is_err());
    assert!(Schedule::Official { warmup_epochs: 5 }.validate(6).is_ok());
    assert!(parse(r#"{"kind": "constant", "per": "batch"}"#).is_err());
    for (text, epochs) in [
        (r#"{"kind": "cosine", "warmup_epochs": -1}"#, 6),
        (r#"{"kind": "constant", "warmup_epochs": 6}"#, 6),
        (r#"{"kind": "steps", "warmup_epochs": 6}"#, 6),
        (r#"{"kind": "steps", "epochs": [8, 6]}"#, 10),
        (r#"{"kind": "steps", "epochs": [6, 8], "factor": 0}"#, 10),
    ] {
        assert!(parse(text).unwrap().validate(epochs).is_err(), "{text}");
    }
    assert!(cosine_after(f64::NAN).validate(6).is_err());
    assert!(Schedule::default().validate(1).is_ok());
}

proptest! {
    #[test]
    fn rates_stay_between_zero_and_the_peak(
        step in 0u64..500, warmup in 0.0f64..9.0, base in 1e-3f64..10.0, multiplier in 1.0f64..16.0,
    ) {
        let length = Length { epochs: 10, steps_per_epoch: 50 };
        for schedule in [
            cosine_after(warmup),
            Schedule::Cosine { warmup_epochs: warmup, per: Per::Epoch },
            Schedule::Official { warmup_epochs: warmup as u32 },
            Schedule::Steps { epochs: vec![3, 6], factor: 0.1, warmup_epochs: warmup, per: Per::Step },
            Schedule::Constant { warmup_epochs: warmup, per: Per::Epoch },
        ] {
            let rate = schedule.learning_rate(base, multiplier, step, length);
            prop_assert!(rate >= 0.0 && rate <= base * multiplier * (1.0 + 1e-12), "{} {:?}", rate, schedule);
        }
    }
}
