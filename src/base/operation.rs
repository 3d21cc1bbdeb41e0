//! What may be done to a view's pixels: the one table of operations. How they are drawn and their
//! arithmetic stand in imaging's `operations`.

use crate::Refusal;
use crate::view::MAXIMAL_SIGMA;

/// Which amounts an operation can have, and how they are written where there is little room.
struct Amounts {
    possible: fn(f32) -> bool,
    expected: &'static str,
    brief: fn(f32) -> String,
}

const FACTOR: Amounts = Amounts {
    possible: |amount| amount >= 0.0 && amount.is_finite(),
    expected: "a number from 0",
    brief: |amount| format!("{amount:.2}"),
};
const TURN: Amounts = Amounts {
    possible: |amount| (-0.5..=0.5).contains(&amount),
    expected: "-0.5 to 0.5",
    brief: |amount| format!("{amount:+.2}"),
};
const SIGMA: Amounts = Amounts {
    possible: |amount| amount > 0.0 && amount <= MAXIMAL_SIGMA,
    expected: "more than 0, at most 256",
    brief: |amount| format!("{amount:.1}"),
};

/// Rows: variant, its amount if it has one, name, short name, possible amounts.
macro_rules! operations {
    (@amount) => { 1.0 };
    (@amount $amount:ident) => { $amount };
    (@has) => { false };
    (@has $amount:ident) => { true };
    ($($(#[$about:meta])* $variant:ident $(($amount:ident: $type:ty))?, $name:literal, $short:literal, $amounts:expr;)+) => {
        /// One operation on the pixels of a view. Values are clamped to 0–1 after each.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Operation {
            $($(#[$about])* $variant $(($type))?,)+
        }

        /// The rows' numbers.
        enum Row { $($variant),+ }

        impl Operation {
            /// The names of all.
            pub const NAMES: &[&str] = &[$($name),+];

            /// What a table's column of names holds, for people.
            pub const NAMES_MEANING: &str =
                concat!("In this order: ", $("`", $name, "`, ",)+ "those that were drawn.");

            /// Names with their short names, and whether there is a number.
            const LEGEND: &[(&str, &str, bool)] = &[$(($name, $short, operations!(@has $($amount)?))),+];

            /// As in a table of views.
            pub fn name(&self) -> &'static str {
                match self { $(Operation::$variant { .. } => $name),+ }
            }

            fn short(&self) -> &'static str {
                match self { $(Operation::$variant { .. } => $short),+ }
            }

            /// The operation's number; 1 for those that have none.
            pub fn amount(&self) -> f32 {
                match *self { $(Operation::$variant $(($amount))? => operations!(@amount $($amount)?)),+ }
            }

            /// Whether it has a number.
            pub fn has_amount(&self) -> bool {
                match self { $(Operation::$variant { .. } => operations!(@has $($amount)?)),+ }
            }

            /// Its row's number, from 0.
            pub fn row(&self) -> u8 {
                match self { $(Operation::$variant { .. } => Row::$variant as u8),+ }
            }

            /// The inverse of [`Operation::row`] and [`Operation::amount`]; what has no number
            /// takes none.
            pub fn of_row(row: u8, amount: f32) -> Option<Operation> {
                $(if row == Row::$variant as u8 { return Some(operations!(@new amount $variant $($amount)?)); })+
                None
            }

            fn amounts(&self) -> Amounts {
                match self { $(Operation::$variant { .. } => $amounts),+ }
            }
        }
    };
    (@new $given:ident $variant:ident) => { Operation::$variant };
    (@new $given:ident $variant:ident $amount:ident) => { Operation::$variant($given) };
}

operations! {
    /// Multiplies by the factor.
    Brightness(amount: f32), "brightness", "b", FACTOR;
    /// Moves away from the mean of the gray view by the factor.
    Contrast(amount: f32), "contrast", "c", FACTOR;
    /// Moves away from each pixel's gray by the factor.
    Saturation(amount: f32), "saturation", "s", FACTOR;
    /// Turns the hue by the part of a whole turn, −0.5 to 0.5.
    Hue(amount: f32), "hue", "h", TURN;
    /// 0.2989 red + 0.587 green + 0.114 blue in all three channels.
    Grayscale, "grayscale", "gray", FACTOR;
    /// Gaussian blur of that standard deviation in pixels, of radius ceil(4 sigma), edges
    /// replicated.
    Blur(amount: f32), "blur", "blur", SIGMA;
    /// Mirrors left and right.
    Flip, "flip", "flip", FACTOR;
}

impl Operation {
    /// What a table's column of amounts holds, for people.
    pub const AMOUNTS_MEANING: &str = "One an operation: a factor, a hue shift in turns, a sigma in pixels; 1 for grayscale and flip.";

    /// The inverse of [`Operation::name`] and [`Operation::amount`]; what has no number takes none.
    pub fn named(name: &str, amount: f32) -> Option<Operation> {
        let row = Operation::NAMES.iter().position(|own| *own == name)?;
        Operation::of_row(row as u8, amount)
    }

    /// In a few letters, for where there is little room: `b1.25`, `h-0.05`, `flip`.
    pub fn brief(&self) -> String {
        let short = self.short();
        if self.has_amount() {
            format!("{short}{}", (self.amounts().brief)(self.amount()))
        } else {
            short.to_owned()
        }
    }

    /// What the letters of [`Operation::brief`] mean: `brightness b, … blur, gray, flip`, those
    /// with a number first.
    pub fn legend() -> String {
        let (numbered, others): (Vec<_>, Vec<_>) =
            Operation::LEGEND.iter().partition(|(_, _, has)| *has);
        let words = numbered.into_iter().chain(others);
        let words = words.map(|(name, short, _)| match short.len() {
            1 => format!("{name} {short}"),
            _ => (*short).to_owned(),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let Amounts {
            possible, expected, ..
        } = self.amounts();
        let (name, amount) = (self.name(), self.amount());
        if possible(amount) {
            return Ok(());
        }
        Err(Refusal::new(format!(
            "operation `{name}` of amount {amount}, expected {expected}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_rebuilt_from_its_name_and_from_its_row() {
        for (row, name) in Operation::NAMES.iter().enumerate() {
            let operation = Operation::named(name, 0.25).unwrap();
            assert_eq!((operation.name(), operation.row()), (*name, row as u8));
            let amount = if operation.has_amount() { 0.25 } else { 1.0 };
            assert_eq!(operation.amount(), amount);
            assert_eq!(Operation::of_row(row as u8, 0.25), Some(operation));
            assert_eq!(operation.check(), Ok(()));
        }
        assert_eq!(Operation::named("sharpen", 1.0), None);
        assert_eq!(Operation::of_row(Operation::NAMES.len() as u8, 1.0), None);
        // Stored in the bytes of a training's views.
        assert_eq!(Operation::Brightness(1.0).row(), 0);
        assert_eq!(Operation::Flip.row(), 6);
    }

    #[test]
    fn what_is_written_for_people_holds_every_operation() {
        assert_eq!(
            Operation::legend(),
            "brightness b, contrast c, saturation s, hue h, blur, gray, flip"
        );
        assert_eq!(
            Operation::NAMES_MEANING,
            "In this order: `brightness`, `contrast`, `saturation`, `hue`, `grayscale`, `blur`, `flip`, those that were drawn."
        );
        let (_, unnumbered) = Operation::AMOUNTS_MEANING.split_once("; 1 for ").unwrap();
        for name in Operation::NAMES {
            let has_amount = Operation::named(name, 1.0).unwrap().has_amount();
            assert_ne!(unnumbered.contains(name), has_amount, "{name}");
        }
        let brief = |operation: Operation| operation.brief();
        assert_eq!(brief(Operation::Hue(0.051)), "h+0.05");
        assert_eq!(brief(Operation::Blur(1.33)), "blur1.3");
        assert_eq!(brief(Operation::Grayscale), "gray");
    }

    #[test]
    fn impossible_amounts_are_refused() {
        let impossible = [
            Operation::Hue(0.6),
            Operation::Blur(0.0),
            Operation::Brightness(f32::NAN),
            Operation::Contrast(-0.1),
        ];
        for operation in impossible {
            assert!(operation.check().is_err(), "{operation:?}");
        }
    }
}
