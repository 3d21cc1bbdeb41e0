//! The Python of a page: its cells are one program, in the page's folder, as a notebook runs them.

use crate::book::page::{Block, Page};
use crate::book::session::Session;
use crate::book::shown;
use crate::requirements::python;
use crate::sandbox::Sandbox;

/// Printed before a cell.
const BEGIN: &str = "--- cell";

/// Runs the cells of a page, if it has any, and compares what each prints with the `text` block
/// below it.
///
/// # Errors
/// The first that fails, or prints something else.
pub fn run(page: &Page, sandbox: &Sandbox, session: &Session) -> Result<(), String> {
    let cells: Vec<(usize, &Block)> = page
        .blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| block.is_cell)
        .collect();
    if cells.is_empty() {
        return Ok(());
    }
    let Some(python) = python("pandas, polars, pyarrow") else {
        return Ok(());
    };
    let program: Vec<String> = cells
        .iter()
        .map(|(_, cell)| format!("print({BEGIN:?}, flush=True)\n{}\n", cell.lines.join("\n")))
        .collect();
    sandbox.write("cells.py", program.concat());
    let output = session
        .run(&format!("{python} cells.py"), 0)
        .map_err(|error| format!("{}: {error}", page.path))?;
    let begin = format!("{BEGIN}\n");
    let mut printed = output.split(&begin).skip(1);
    for (index, cell) in cells {
        let own = printed.next().unwrap_or_default();
        let below = page.blocks.get(index + 1);
        if let Some(shown) = below.filter(|block| block.language == "text") {
            shown::check(&shown.lines, own)
                .map_err(|error| format!("{}:{}: {error}\n{own}", page.path, cell.line))?;
        }
    }
    Ok(())
}
