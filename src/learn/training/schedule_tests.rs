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

/// `args.warmup_epochs` in SEED's main.py.
#[test]
fn seeds_schedule_warms_up_for_five_epochs() {
    let schedule: Schedule = serde_json::from_str(r#"{"kind": "official"}"#).unwrap();
    assert_eq!(schedule, Schedule::Official { warmup_epochs: 5 });
}

fn cosine_after(warmup_epochs: f64) -> Schedule {
    Schedule::cosine(warmup_epochs)
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
    assert_eq!(cosine(0.4, 100.0, 0.0), 0.4);
    assert!((cosine(0.4, 100.0, 50.0) - 0.2).abs() < 1e-15);
    assert!(cosine(0.4, 100.0, 100.0).abs() < 1e-15);
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
    assert_eq!(rate(3), cosine(2.0, 80.0, 3.0));
    assert_eq!(rate(40), cosine(2.0, 80.0, 40.0));
}

#[test]
fn the_probes_rate_falls_at_60_and_80() {
    let schedule: Schedule = serde_json::from_str(r#"{"kind": "steps"}"#).unwrap();
    assert_eq!(schedule, Schedule::steps(&[60, 80], 0.1));
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
            Schedule::Cosine { warmup_epochs: warmup, per: Per::Epoch, after_warmup: false, end: 0.0 },
            Schedule::Official { warmup_epochs: warmup as u32 },
            Schedule::Steps { epochs: vec![3, 6], factor: 0.1, warmup_epochs: warmup, per: Per::Step },
            Schedule::Constant { warmup_epochs: warmup, per: Per::Epoch },
        ] {
            let rate = schedule.learning_rate(base, multiplier, step, length);
            prop_assert!(rate >= 0.0 && rate <= base * multiplier * (1.0 + 1e-12), "{} {:?}", rate, schedule);
        }
    }
}

/// As SwAV's `cosine_lr_schedule` (main_swav.py) and SimCLR's `cosine_decay` (model_util.py) count
/// it: from the end of the warm-up, over the steps that are left.
#[test]
fn a_cosine_may_begin_after_the_warm_up_and_end_above_0() {
    let ending_at = |end| Schedule::Cosine {
        warmup_epochs: 2.0,
        per: Per::Step,
        after_warmup: true,
        end,
    };
    let schedule = ending_at(0.001);
    let length = Length {
        epochs: 10,
        steps_per_epoch: 7,
    };
    let rate = |step| schedule.learning_rate(0.6, 8.0, step, length);
    let (base, last) = (4.8, 0.0048);
    for t in 0..56u32 {
        let share = f64::from(t) / 56.0;
        let expected = last + 0.5 * (base - last) * (1.0 + (PI * share).cos());
        assert_close(
            &format!("step {t}"),
            rate(14 + u64::from(t)),
            expected,
            1e-12,
        );
    }
    assert_close("half of the warm-up", rate(6), 2.4, 1e-12);
    assert_eq!(rate(13), 4.8);
    schedule.validate(10).unwrap();
    assert!(ending_at(-0.1).validate(10).is_err() && ending_at(1.1).validate(10).is_err());
}

#[test]
fn a_schedule_is_scaled_to_another_number_of_epochs() {
    let steps = |epochs: &[u32]| Schedule::steps(epochs, 0.2);
    let compress = steps(&[90, 120]);
    assert_eq!(compress.clone().scaled(130, 130), compress);
    assert_eq!(compress.clone().scaled(130, 260), steps(&[180, 240]));
    assert_eq!(compress.clone().scaled(130, 10), steps(&[7, 9]));
    assert_eq!(compress.clone().scaled(130, 3), steps(&[2]));
    assert_eq!(compress.scaled(130, 1), steps(&[]));
    let cosine = Schedule::cosine(10.0);
    assert_eq!(cosine.clone().scaled(100, 8), Schedule::cosine(0.8));
    assert_eq!(cosine.clone().scaled(100, 1000), cosine);
}
