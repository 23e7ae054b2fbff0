//! Compiles the crate again when a migration was added: the macro that embeds them cannot see that.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    writeln!(io::stdout(), "cargo:rerun-if-changed=../../migrations")
}
