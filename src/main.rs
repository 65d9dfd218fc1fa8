//! Reads the command line, runs the command, gives the exit status: 0 done, 1 failed, 2 wrong usage, 3 in part.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use slotwise::cli::{self, Cli, UsageError};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Help goes to standard output, wrong usage to standard error; a closed one changes nothing.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = runtime.block_on(cli::run(cli));
    // A thread that still waits for standard input must not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

/// One line, whatever the error says; 2 where the command was called wrongly.
fn failed(error: &anyhow::Error) -> ExitCode {
    // `slotwise … | head` has got what it wanted.
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(is_closed_pipe)) {
        return ExitCode::FAILURE;
    }
    let line = format!("{error:#}").replace(['\r', '\n'], " ");
    let _ = writeln!(std::io::stderr(), "slotwise: {line}");
    if error.is::<UsageError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

fn is_closed_pipe(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}
