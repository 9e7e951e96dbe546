//! The binary `tidegate`: reads the command line and hands over.

use std::process::ExitCode;

fn main() -> ExitCode {
    proxy::cli::main()
}
