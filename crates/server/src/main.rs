//! `dms`, the server: parses the command line and hands over to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dm_server::main()
}
