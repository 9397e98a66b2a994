//! `stentor completions`.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::output::print_line;

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to complete for.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script that completes `command`.
pub(crate) fn run(args: &CompletionsArgs, command: &clap::Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(command), "stentor", &mut script);
    print_line(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the command without its hidden options: generators complete those too.
fn visible(command: &clap::Command) -> clap::Command {
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned();
    let subcommands = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    let mut copy = clap::Command::new(command.get_name().to_owned())
        .args(args)
        .subcommands(subcommands.map(visible));
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        copy = copy.version(version.to_owned());
    }
    copy
}
