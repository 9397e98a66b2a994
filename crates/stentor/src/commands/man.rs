//! `stentor man`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap_mangen::Man;

use crate::output::print_line;

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write one page per command into this directory, such as `~/.local/share/man/man1`
    /// [default: print the main page].
    directory: Option<PathBuf>,
}

/// Prints or writes the pages of `command`.
pub(crate) fn run(args: &ManArgs, command: clap::Command) -> anyhow::Result<ExitCode> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &args.directory {
        let written = std::fs::create_dir_all(directory).and_then(|()| write(&command, directory));
        written.with_context(|| format!("cannot write to {}", directory.display()))?;
    } else {
        print_line(page(&Man::new(command))?.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of a command and of all its subcommands.
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
    // By convention, exit codes are a section of a manual page.
    Ok(page.replace(".SH EXTRA\nExit codes:", ".SH \"EXIT STATUS\""))
}
