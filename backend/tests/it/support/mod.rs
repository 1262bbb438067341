//! A PostgreSQL of the test's own, on a free port and in a temporary directory.

pub mod application;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Postgres {
    directory: tempfile::TempDir,
    bin: PathBuf,
    pub port: u16,
}

/// PEM texts with which the server proves who it is.
pub struct ServerTls {
    pub certificate: String,
    pub key: String,
}

impl Postgres {
    pub fn start(tls: Option<&ServerTls>) -> Postgres {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let postgres = Postgres { port: free_port(), bin: newest_bin(), directory };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(postgres.directory.path()));
        }
        run(postgres
            .tool("initdb")
            .args(["--auth", "trust", "--username", "marea", "--encoding", "UTF8", "--no-sync"])
            .arg("--pgdata")
            .arg(postgres.data()));
        if let Some(tls) = tls {
            postgres.write("server.crt", &tls.certificate);
            postgres.write("server.key", &tls.key);
        }
        let options = if tls.is_some() { "ssl = on\n" } else { "" };
        let configuration = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nfsync = off\n{options}",
            postgres.port
        );
        postgres.write("postgresql.auto.conf", &configuration);
        postgres.resume();
        postgres
    }

    pub fn resume(&self) {
        let log = self.data().join("log");
        run(self
            .tool("pg_ctl")
            .args(["--wait", "--silent", "start", "--log"])
            .arg(log)
            .arg("--pgdata")
            .arg(self.data()));
    }

    pub fn halt(&self) {
        run(self
            .tool("pg_ctl")
            .args(["--wait", "--silent", "--mode", "immediate", "stop"])
            .arg("--pgdata")
            .arg(self.data()));
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Written by the owner of the server: PostgreSQL checks who owns a key and who may read it.
    fn write(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        std::fs::write(&path, text).expect("the data directory is writable");
        run(Command::new("chmod").arg("600").arg(&path));
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&path));
        }
    }

    /// PostgreSQL refuses to run as root.
    fn tool(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = match is_root() {
            true => Command::new("runuser"),
            false => Command::new(&program),
        };
        if is_root() {
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        command.current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self
            .tool("pg_ctl")
            .args(["--silent", "--mode", "immediate", "stop"])
            .arg("--pgdata")
            .arg(self.data())
            .output();
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn newest_bin() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    versions.sort();
    versions
        .into_iter()
        .rfind(|bin| Path::new(bin).join("initdb").exists())
        .expect("no PostgreSQL server under /usr/lib/postgresql; install postgresql")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
