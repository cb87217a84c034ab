//! The command line of EventFabric.

use std::process::ExitCode;

fn main() -> ExitCode {
    eventfabric::cli::main()
}
