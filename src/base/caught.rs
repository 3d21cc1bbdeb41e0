//! Libraries that panic over what people bring.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// What `work` gives, or the message that it panicked with. Nothing is printed.
///
/// # Errors
/// When `work` panics.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    silence_caught_panics();
    let outer = CATCHES.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHES.set(outer);
    result.map_err(|panic| message_of(panic.as_ref()))
}

thread_local! {
    /// Whether a panic of this thread is about to be caught.
    static CATCHES: Cell<bool> = const { Cell::new(false) };
}

/// Puts a hook before the one that is there, once: it leaves out what is about to be caught.
fn silence_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |panic| {
            // A thread that is ending has no flag any more, and catches nothing.
            if !CATCHES.try_with(Cell::get).unwrap_or(false) {
                previous(panic);
            }
        }));
    });
}

/// What a panic said.
pub fn message_of(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    literal
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_message_and_the_next_work_goes_on() {
        let index = std::hint::black_box(7);
        assert_eq!(caught(|| [1, 2][index % 2]), Ok(2));
        assert_eq!(
            caught(|| panic!("row {index}")),
            Err::<(), _>("row 7".to_owned())
        );
        assert_eq!(caught(|| panic!("plain")), Err::<(), _>("plain".to_owned()));
        assert!(
            caught(|| [1, 2][index])
                .unwrap_err()
                .contains("out of bounds")
        );
    }
}
