//! `stentor man`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap_mangen::Man;

use crate::cli;
use crate::output::print_line;

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory, such as `~/.local/share/man/man1`.
    directory: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let mut command = cli::command().disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &args.directory {
        let written = std::fs::create_dir_all(directory).and_then(|()| write(&command, directory));
        written.with_context(|| format!("{} cannot be written", directory.display()))?;
    } else {
        print_line(page(&Man::new(command))?.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of a command and all below it.
fn write(command: &clap::Command, directory: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands() {
        write(subcommand, directory)?;
    }
    let man = Man::new(command.clone());
    std::fs::write(directory.join(man.get_filename()), page(&man)?)
}

fn page(man: &Man) -> io::Result<String> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    // The codes have a section of their own in manual pages.
    Ok(page.replace(".SH EXTRA\nExit codes:", ".SH \"EXIT STATUS\""))
}
