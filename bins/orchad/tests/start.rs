//! A daemon that cannot start says what stands in its way and what to do, and touches nothing of another's.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{fs, io::BufRead, io::BufReader};

fn serve(home: &Path, data: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchad"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.args(["serve", "--listen", listen, "--data"]).arg(data);
    command.env_clear().env("PATH", path).env("HOME", home).stdin(Stdio::null());
    command
}

/// Ends the daemon with the test, however that goes.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn starts(home: &Path, data: &Path) -> (Serving, String) {
    let mut child = serve(home, data, "127.0.0.1:0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("orchad serves on http://").unwrap().to_owned();
    (Serving(child), address)
}

fn fails(home: &Path, data: &Path, listen: &str) -> String {
    let output = serve(home, data, listen).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
}

#[test]
fn what_stands_in_the_way_is_named_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let (home, data, other) = (dir.path(), dir.path().join("data"), dir.path().join("other"));
    let (_serving, taken) = starts(home, &data);
    let token = fs::read(data.join("token")).unwrap();

    let said = fails(home, &data, "127.0.0.1:0");
    assert!(said.contains("another daemon works in") && said.contains("--data"), "{said}");
    let said = fails(home, &other, &taken);
    assert!(said.contains("is taken") && said.contains("--listen"), "{said}");
    // An address for documentation: no machine has it.
    let said = fails(home, &other, "192.0.2.1:80");
    assert!(said.contains("is no address of this machine") && said.contains("--listen"), "{said}");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let said = fails(home, &file, "127.0.0.1:0");
    assert!(said.contains("could not be made") && said.contains("--data"), "{said}");
    assert_eq!(fs::read(data.join("token")).unwrap(), token);
}
