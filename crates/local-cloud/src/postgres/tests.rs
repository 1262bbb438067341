use std::process::Stdio;

use super::*;

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped() {
    eprintln!("skipped: PostgreSQL is not installed");
}

/// A wanted server in a temporary folder, on a loopback address that no cloud uses.
fn wanted(folder: &Path, last_octet: u8) -> Wanted {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["db.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    Wanted {
        folder: folder.join("server"),
        address: Ipv4Addr::new(127, 200, std::process::id() as u8, last_octet),
        port: 5432,
        administrator: "marea".to_owned(),
        administrator_password: "it's a \"secret\" \\ $1".to_owned(),
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        max_connections: 8,
        user_connections: 3,
        parameters: vec![("work_mem".to_owned(), "2MB".to_owned()), ("azure.extensions".to_owned(), "none".to_owned())],
        databases: vec![DatabaseView {
            name: "marea".to_owned(),
            charset: "UTF8".to_owned(),
            collation: "C".to_owned(),
        }],
        inside: None,
    }
}

fn client(programs: &Programs, wanted: &Wanted, password: &str, query: &str) -> std::process::Command {
    let mut command = programs.command("psql");
    let target = format!("host={} dbname=marea user=marea sslmode=require", wanted.address);
    command.args(["-X", "-A", "-t", "-d", &target, "-c", query]).env("PGPASSWORD", password);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ask(programs: &Programs, wanted: &Wanted, password: &str, query: &str) -> Result<String, String> {
    let output = client(programs, wanted, password, query).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_made_kept_changed_adopted_and_removed() {
    let Ok(programs) = Programs::find() else {
        skipped();
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template");
    let mut wanted = wanted(folder.path(), 1);
    let password = wanted.administrator_password.clone();

    let first = ensure(&programs, &template, &wanted).await.unwrap();
    ask(&programs, &wanted, &password, "create table kept (n int); insert into kept values (41)").unwrap();
    assert_eq!(ask(&programs, &wanted, &password, "show work_mem"), Ok("2MB".to_owned()));
    assert_eq!(
        ask(&programs, &wanted, &password, "select rolsuper from pg_roles where rolname = 'marea'"),
        Ok("f".to_owned())
    );
    assert!(ask(&programs, &wanted, "wrong", "select 1").unwrap_err().contains("password authentication failed"));

    let again = ensure(&programs, &template, &wanted).await.unwrap();
    assert_eq!(first, again, "nothing changed, so the running server is adopted");

    wanted.administrator_password = "rotated".to_owned();
    let rotated = ensure(&programs, &template, &wanted).await.unwrap();
    assert_eq!(first, rotated, "a new password needs no restart");
    assert!(ask(&programs, &wanted, &password, "select 1").is_err());

    stop(&wanted.folder).await;
    assert!(!process::is_alive(first));
    let restarted = ensure(&programs, &template, &wanted).await.unwrap();
    assert_ne!(first, restarted);
    assert_eq!(ask(&programs, &wanted, "rotated", "select n from kept"), Ok("41".to_owned()));

    delete(&wanted.folder).await.unwrap();
    assert!(!wanted.folder.exists() && !process::is_alive(restarted));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_get_no_more_connections_than_their_share() {
    let Ok(programs) = Programs::find() else {
        skipped();
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let wanted = wanted(folder.path(), 2);
    let password = wanted.administrator_password.clone();
    ensure(&programs, &folder.path().join("template"), &wanted).await.unwrap();

    let hold = || client(&programs, &wanted, &password, "select pg_sleep(60)").spawn().unwrap();
    let mut holders = vec![hold(), hold(), hold()];
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let refused = loop {
        match ask(&programs, &wanted, &password, "select 1") {
            Err(error) => break error,
            Ok(_) => assert!(std::time::Instant::now() < deadline, "a fourth connection was let in"),
        }
        // A question takes a place for a moment, and may have taken a holder's.
        for holder in &mut holders {
            if holder.try_wait().unwrap().is_some() {
                *holder = hold();
            }
        }
    };
    assert!(refused.contains("remaining connection slots are reserved"), "{refused}");
    for holder in &mut holders {
        // One that was refused has ended already.
        let _ = holder.kill();
        holder.wait().unwrap();
    }
    delete(&wanted.folder).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_starts_again_whatever_it_left_behind() {
    let Ok(programs) = Programs::find() else {
        skipped();
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let wanted = wanted(folder.path(), 3);
    let template = folder.path().join("template");
    let password = wanted.administrator_password.clone();
    let pid = ensure(&programs, &template, &wanted).await.unwrap();
    ask(&programs, &wanted, &password, "create table kept (n int); insert into kept values (41)").unwrap();
    let mut session = client(&programs, &wanted, &password, "select pg_sleep(60)").spawn().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    ended(pid).await;
    // The number in its lock is soon another process's, or for a while its own as a zombie; both answer to signals.
    let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let lock = wanted.folder.join("socket/.s.PGSQL.5432.lock");
    let held = std::fs::read_to_string(&lock).unwrap().replacen(&pid.to_string(), &other.id().to_string(), 1);
    std::fs::write(&lock, held).unwrap();

    ensure(&programs, &template, &wanted).await.unwrap();
    assert_eq!(ask(&programs, &wanted, &password, "select n from kept"), Ok("41".to_owned()));

    for process in [&mut session, &mut other] {
        let _ = process.kill();
        process.wait().unwrap();
    }
    delete(&wanted.folder).await.unwrap();
}
