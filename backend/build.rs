//! Queries are checked against the committed metadata in `.sqlx` unless `SQLX_OFFLINE=false` and a `DATABASE_URL` ask
//! for a live database (`prepare.sh` does, after a query or a migration has changed).

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=.sqlx");
    println!("cargo::rerun-if-env-changed=SQLX_OFFLINE");
    if std::env::var_os("SQLX_OFFLINE").is_none() {
        println!("cargo::rustc-env=SQLX_OFFLINE=true");
    }
}
