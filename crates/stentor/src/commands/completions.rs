//! `stentor completions`.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::cli;
use crate::output::print_line;

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "stentor", &mut script);
    print_line(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
