//! The bridge to a terminal, for this crate's tests with a real tmux: `bridge ORDERS`.

use std::path::Path;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let code = match std::env::args_os().nth(1) {
        Some(orders) => orcha_agent::terminal::serve(Path::new(&orders)).await,
        None => 64,
    };
    // A thread may still wait for input that does not come.
    std::process::exit(code.into());
}
