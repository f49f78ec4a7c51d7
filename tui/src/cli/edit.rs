//! Rows in the user's editor, and back: what would change is shown, then applied as one step.
//!
//! Owns the temporary file and the questions. Must not enter: columns (the sheet has them). Invariant: nothing is lost: text
//! that was refused stays in a file that is named; nothing is changed that was not shown.

use std::{
    io::{IsTerminal, Write},
    path::Path,
    process::Command,
};

use super::{bulk, output::Out};
use crate::{
    client::{Client, Fault},
    sheet::Sheet,
    text::printable,
};

/// Edits the sheet until it is applied or given up.
pub(super) async fn run(client: &Client, out: Out, sheet: &Sheet, dry_run: bool) -> Result<(), Fault> {
    if sheet.is_empty() {
        return Err(Fault::own(3, "nothing matches"));
    }
    let failed = |e: std::io::Error| Fault::own(1, format!("the temporary file: {e}"));
    // Readable by its owner alone: addresses hold credentials.
    let mut file = tempfile::Builder::new().prefix("yagi-").suffix(".tsv").tempfile().map_err(failed)?;
    let before = sheet.text();
    file.write_all(before.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
    loop {
        open(file.path())?;
        // By its path: editors replace the file.
        let text = std::fs::read_to_string(file.path()).map_err(failed)?;
        if text == before {
            return out.say("nothing was changed");
        }
        let refused = match attempt(client, out, sheet, &text, dry_run).await {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        if matches!(refused.exit_code(), 4 | 5) && again(&refused)? {
            continue;
        }
        let (_, kept) = file.keep().map_err(|e| failed(e.error))?;
        return Err(Fault::Own {
            exit: refused.exit_code(),
            message: refused.to_string(),
            hint: Some(format!("nothing was changed; what you wrote is kept in {}", kept.display())),
        });
    }
}

async fn attempt(client: &Client, out: Out, sheet: &Sheet, text: &str, dry_run: bool) -> Result<(), Fault> {
    let operations = sheet.read(text).map_err(|faults| {
        let lines: Vec<String> = faults.iter().take(20).map(ToString::to_string).collect();
        Fault::own(4, lines.join("; "))
    })?;
    if operations.is_empty() {
        return out.say("nothing was changed");
    }
    let look = bulk::apply(client, &operations, true).await?;
    bulk::refuse(&look)?;
    if dry_run {
        return bulk::applied(out, &look);
    }
    // Shown to the person who is asked; a script that says --yes reads the result instead.
    if !out.yes {
        bulk::applied(Out { format: super::output::Format::Table, ..out }, &look)?;
    }
    out.confirm("apply this?")?;
    bulk::applied(out, &bulk::apply(client, &operations, false).await?)
}

/// The editor of the user, as git and crontab find it; it may be a command with arguments.
pub fn open(path: &Path) -> Result<(), Fault> {
    let named = |name| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".into());
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$@\"")).arg(&editor).arg(path).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Fault::own(1, format!("the editor {} ended with {status}", printable(&editor, 60)))),
        Err(e) => Err(Fault::own(1, format!("the editor {} cannot be started: {e}", printable(&editor, 60)))),
    }
}

/// Whether to edit again; without a terminal there is nobody to.
fn again(refused: &Fault) -> Result<bool, Fault> {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return Ok(false);
    }
    let failed = |e: std::io::Error| Fault::own(1, e.to_string());
    super::output::complain(refused);
    write!(stderr, "edit again? [Y/n] ").and_then(|()| stderr.flush()).map_err(failed)?;
    let mut answer = String::new();
    stdin.read_line(&mut answer).map_err(failed)?;
    Ok(!answer.is_empty() && matches!(answer.trim(), "" | "y" | "Y" | "yes"))
}
