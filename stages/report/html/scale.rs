//! Axes: where a value lies, and round numbers to label.

/// A value's place on an axis, in the drawing's units.
#[derive(Clone, Copy, Debug)]
pub struct PlotAxis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    logarithmic: bool,
}

impl PlotAxis {
    /// From `low` at `start` to `high` at `end`; one value alone gets some room on both sides.
    pub fn linear(low: f64, high: f64, start: f64, end: f64) -> PlotAxis {
        let (low, high) = if high > low {
            (low, high)
        } else {
            (low - 0.5, low + 0.5)
        };
        PlotAxis {
            low,
            high,
            start,
            end,
            logarithmic: false,
        }
    }

    /// Equal factors are equally long; both ends above 0.
    pub fn logarithmic(low: f64, high: f64, start: f64, end: f64) -> PlotAxis {
        PlotAxis {
            logarithmic: true,
            ..PlotAxis::linear(low.ln(), high.ln(), start, end)
        }
    }

    /// The values at its start and its end.
    pub fn ends(&self) -> [f64; 2] {
        let ends = [self.low, self.high];
        if self.logarithmic {
            ends.map(f64::exp)
        } else {
            ends
        }
    }

    pub fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.ln() } else { value };
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    /// Round values within the axis, about `count` of them.
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        if self.logarithmic {
            return logarithmic_ticks(self.low.exp(), self.high.exp(), count);
        }
        let at = |step: f64| {
            let first = (self.low / step - 1e-9).ceil() as i64;
            let last = (self.high / step + 1e-9).floor() as i64;
            (first..=last)
                .map(|index| index as f64 * step)
                .collect::<Vec<f64>>()
        };
        let step = round_step((self.high - self.low) / count as f64);
        let ticks = at(step);
        // Two labels alone say little: half of the step, or two fifths.
        if ticks.len() > 2 {
            return ticks;
        }
        at(round_step(step * 0.39))
    }
}

/// The least of 1, 2 or 5 times a power of ten that is not below `rough`.
pub fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.abs().max(1e-12).log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

/// Powers of ten, with their doubles and fivefolds where there is room.
fn logarithmic_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let decades = (high / low).log10();
    let factors: &[f64] = if decades * 3.0 <= count as f64 + 1.0 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let all = (first..=last).flat_map(|power| factors.iter().map(move |f| f * 10f64.powi(power)));
    all.filter(|tick| (low * 0.999..=high * 1.001).contains(tick))
        .collect()
}

/// A tick's text with as many digits as tell it from its neighbours.
pub fn tick_text(value: f64, ticks: &[f64]) -> String {
    let step = match ticks {
        [first, second, ..] => second - first,
        _ => value.abs().max(1.0),
    };
    let decimals = (-step.abs().max(1e-9).log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.starts_with('-') && text.trim_start_matches(['-', '0', '.']).is_empty() {
        text.trim_start_matches('-').to_owned()
    } else {
        text.replace('-', "−")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let axis = PlotAxis::linear(0.31, 0.97, 0.0, 100.0);
        let ticks = axis.ticks(4);
        let texts: Vec<String> = ticks.iter().map(|tick| tick_text(*tick, &ticks)).collect();
        assert_eq!(texts, ["0.4", "0.6", "0.8"]);
        assert_eq!(axis.place(0.31), 0.0);
        assert_eq!(axis.place(0.97), 100.0);
        let one = PlotAxis::linear(3.0, 3.0, 0.0, 10.0);
        assert_eq!(one.place(3.0), 5.0);
    }

    #[test]
    fn logarithmic_axes_have_powers_of_ten() {
        let axis = PlotAxis::logarithmic(10.0, 1000.0, 0.0, 2.0);
        assert!((axis.place(100.0) - 1.0).abs() < 1e-12);
        let close = |left: &[f64], right: &[f64]| {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(l, r)| (l / r - 1.0).abs() < 1e-9)
        };
        assert!(close(&axis.ticks(3), &[10.0, 100.0, 1000.0]));
        let short = PlotAxis::logarithmic(9_000.0, 300_000.0, 0.0, 1.0).ticks(4);
        assert!(close(&short, &[1e4, 2e4, 5e4, 1e5, 2e5]), "{short:?}");
    }
}
