//! `slotwise completions`: completions for a shell.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  source <(slotwise completions bash)
  slotwise completions zsh > ~/.zfunc/_slotwise";

/// Arguments of `slotwise completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    // Not straight to standard output: the generator panics where that is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "slotwise", &mut script);
    stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
