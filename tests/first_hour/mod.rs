//! What a newcomer meets: `init`, `doctor`, `preview`, the schema for editors, completions and
//! manual pages.

mod doctor;
mod init;
mod manual;
mod preview;
mod schema;
