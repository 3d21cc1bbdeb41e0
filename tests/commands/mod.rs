//! What each command prints and how it exits.

mod cached;
mod examples;
mod experiments;
mod help;
mod inspect;
mod maintain;
mod precision;
mod run;
mod together;
