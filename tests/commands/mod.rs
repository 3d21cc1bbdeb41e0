//! What each command prints and how it exits.

mod cached;
mod help;
mod inspect;
mod maintain;
mod run;
