//! Secrets: age ciphertexts in a stack's file, and the key that opens them.
//!
//! The identity is made on first use, outside the repository, readable by its owner only. A decrypted value is a
//! [`Secret`], which cannot be printed by accident.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::x25519::{Identity, Recipient};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::file::SecretsBlock;

/// A decrypted value. Neither `Debug` nor `Display` show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself. Only for the request that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the secret key {} {problem}", file.display())]
    Key { file: PathBuf, problem: String },
    #[error("`{name}` cannot be decrypted with the key {}: it was encrypted for other recipients ({recipients})", key.display())]
    WrongKey { name: String, key: PathBuf, recipients: String },
    #[error("`{name}` is damaged: {problem}")]
    Damaged { name: String, problem: String },
    #[error("`{0}` is not an age recipient (`age1…`)")]
    Recipient(String),
    #[error("{} cannot be written: {source}", file.display())]
    Write {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl SecretError {
    pub fn advice(&self) -> String {
        match self {
            SecretError::Key { file, .. } => format!("Restore {} from your backup; without it the values must be set anew with `marea secret set`.", file.display()),
            SecretError::WrongKey { .. } => {
                "Ask a holder of one of these recipients to add yours (`marea secret recipient`) and run `marea secret rotate`, or copy the right key to this place.".to_owned()
            }
            SecretError::Damaged { name, .. } => format!("Set it anew: `marea secret set {name}`."),
            SecretError::Recipient(_) => "Correct `secrets.recipients` in the stack's file.".to_owned(),
            SecretError::Write { .. } => "Check the disk's free space and the folder's permissions.".to_owned(),
        }
    }
}

/// `$XDG_CONFIG_HOME/marea/key.txt`, else below `~/.config`.
pub fn default_key_file() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("XDG_CONFIG_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".config")))
        .unwrap_or_else(|| PathBuf::from("/root/.config"))
        .join("marea/key.txt")
}

/// The holder of the key.
pub struct Keyring {
    file: PathBuf,
    identity: Identity,
}

impl Keyring {
    /// Opens the key, or makes one.
    ///
    /// # Errors
    /// When it cannot be read or written, or is not an age key.
    pub fn open(file: &Path) -> Result<Keyring, SecretError> {
        let problem = |problem: String| SecretError::Key { file: file.to_owned(), problem };
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let line = text
                    .lines()
                    .find(|line| line.starts_with("AGE-SECRET-KEY-"))
                    .ok_or_else(|| problem("holds no age key".into()))?;
                let identity =
                    Identity::from_str(line.trim()).map_err(|error| problem(format!("is not an age key: {error}")))?;
                Ok(Keyring { file: file.to_owned(), identity })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(file),
            Err(error) => Err(problem(format!("cannot be read: {error}"))),
        }
    }

    fn create(file: &Path) -> Result<Keyring, SecretError> {
        let failed = |error: std::io::Error| SecretError::Key {
            file: file.to_owned(),
            problem: format!("cannot be made: {error}"),
        };
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let identity = Identity::generate();
        let text = format!(
            "# marea's secret key. Keep a copy: nobody can restore it.\n# {}\n{}\n",
            identity.to_public(),
            identity.to_string().expose_secret()
        );
        // `create_new` decides a race between two first runs: the loser reads the winner's key.
        match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
            Ok(mut handle) => {
                handle.write_all(text.as_bytes()).and_then(|()| handle.sync_all()).map_err(failed)?;
                Ok(Keyring { file: file.to_owned(), identity })
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Self::open(file),
            Err(error) => Err(failed(error)),
        }
    }

    /// The public half, for `secrets.recipients`.
    pub fn recipient(&self) -> String {
        self.identity.to_public().to_string()
    }

    /// Puts a value into the block, encrypted for its recipients; an empty list gets this key's recipient.
    ///
    /// # Errors
    /// When a recipient is not one.
    pub fn set(&self, block: &mut SecretsBlock, name: &str, value: &Secret) -> Result<(), SecretError> {
        if block.recipients.is_empty() {
            block.recipients.push(self.recipient());
        }
        let recipients: Vec<Recipient> = block
            .recipients
            .iter()
            .map(|text| Recipient::from_str(text).map_err(|_| SecretError::Recipient(text.clone())))
            .collect::<Result<_, _>>()?;
        let damaged = |problem: String| SecretError::Damaged { name: name.to_owned(), problem };
        let encryptor =
            age::Encryptor::with_recipients(recipients.iter().map(|recipient| recipient as &dyn age::Recipient))
                .map_err(|error| damaged(error.to_string()))?;
        let mut ciphertext = Vec::new();
        let mut writer = encryptor.wrap_output(&mut ciphertext).map_err(|error| damaged(error.to_string()))?;
        writer
            .write_all(value.expose().as_bytes())
            .and_then(|()| writer.finish().map(drop))
            .map_err(|error| damaged(error.to_string()))?;
        block.values.insert(name.to_owned(), BASE64.encode(ciphertext));
        Ok(())
    }

    /// The decrypted value, or `None` where the block has none of this name.
    ///
    /// # Errors
    /// When the key is not one of the recipients, or the text is damaged.
    pub fn get(&self, block: &SecretsBlock, name: &str) -> Result<Option<Secret>, SecretError> {
        let Some(text) = block.values.get(name) else { return Ok(None) };
        let damaged = |problem: String| SecretError::Damaged { name: name.to_owned(), problem };
        let ciphertext = BASE64.decode(text).map_err(|_| damaged("it is not base64".into()))?;
        let plain = age::decrypt(&self.identity, &ciphertext).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => SecretError::WrongKey {
                name: name.to_owned(),
                key: self.file.clone(),
                recipients: block.recipients.join(", "),
            },
            other => damaged(other.to_string()),
        })?;
        String::from_utf8(plain).map(|value| Some(Secret(value))).map_err(|_| damaged("it is not text".into()))
    }
}

/// Changes with every encryption, says nothing about the value: it tells a deployment that a secret was rotated.
pub fn revision(block: &SecretsBlock, name: &str) -> Option<String> {
    let digest = Sha256::digest(block.values.get(name)?.as_bytes());
    Some(digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

/// Thirty-two characters that need no quoting in a URL, a shell or SQL, of all classes that Azure asks of a password.
///
/// # Errors
/// When the system has no randomness to give.
pub fn generate_password() -> Result<Secret, SecretError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let failed = |source| SecretError::Write { file: PathBuf::from("/dev/urandom"), source };
    let mut random = [0_u8; 32];
    let mut source = std::fs::File::open("/dev/urandom").map_err(failed)?;
    loop {
        std::io::Read::read_exact(&mut source, &mut random).map_err(failed)?;
        let password: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect();
        let has = |test: fn(&u8) -> bool| password.as_bytes().iter().any(test);
        if has(u8::is_ascii_uppercase)
            && has(u8::is_ascii_lowercase)
            && has(u8::is_ascii_digit)
            && password.as_bytes()[0].is_ascii_alphabetic()
        {
            return Ok(Secret(password));
        }
    }
}

/// The stack file's text with its `secrets` block replaced; everything else, comments too, stays.
pub fn replace_block(text: &str, block: &SecretsBlock) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("secrets:") {
            inside = true;
            continue;
        }
        if inside && !line.is_empty() && !line.starts_with([' ', '#']) {
            inside = false;
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    while kept.ends_with("\n\n") {
        kept.pop();
    }
    kept.push_str("secrets:\n  recipients:\n");
    for recipient in &block.recipients {
        kept.push_str(&format!("    - {recipient}\n"));
    }
    kept.push_str("  values:\n");
    for (name, value) in &block.values {
        kept.push_str(&format!("    {name}: {value}\n"));
    }
    kept
}

/// Writes a file so that a crash leaves the old one or the new one, never half of it.
///
/// # Errors
/// When the folder or the disk does not let it.
pub fn write_atomically(file: &Path, text: &str, mode: u32) -> Result<(), SecretError> {
    let failed = |source| SecretError::Write { file: file.to_owned(), source };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let temporary = file.with_extension(format!("{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut handle =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        handle.write_all(text.as_bytes())?;
        handle.sync_all()?;
        std::fs::rename(&temporary, file)
    };
    write().map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        failed(source)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_survives_the_round_trip_and_the_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("marea/key.txt");
        let keyring = Keyring::open(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let mut block = SecretsBlock::default();
        keyring.set(&mut block, "databasePassword", &Secret::new("correct horse")).unwrap();
        assert!(!block.values["databasePassword"].contains("correct"));
        let again = Keyring::open(&file).unwrap();
        assert_eq!(again.get(&block, "databasePassword").unwrap().unwrap().expose(), "correct horse");
        assert_eq!(again.get(&block, "other").unwrap(), None);
    }

    #[test]
    fn another_key_is_told_apart_from_damage() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Keyring::open(&folder.path().join("owner")).unwrap();
        let stranger = Keyring::open(&folder.path().join("stranger")).unwrap();
        let mut block = SecretsBlock::default();
        owner.set(&mut block, "p", &Secret::new("v")).unwrap();
        let error = stranger.get(&block, "p").unwrap_err();
        assert!(matches!(error, SecretError::WrongKey { .. }), "{error}");
        assert!(error.to_string().contains(&owner.recipient()), "{error}");
        block.values.insert("p".into(), "not base64!".into());
        assert!(matches!(owner.get(&block, "p").unwrap_err(), SecretError::Damaged { .. }));
    }

    #[test]
    fn a_broken_key_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.txt");
        std::fs::write(&file, "garbage").unwrap();
        assert!(Keyring::open(&file).is_err_and(|error| error.to_string().contains("holds no age key")));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "garbage");
    }

    #[test]
    fn replacing_the_block_keeps_comments_and_order() {
        let mut block = SecretsBlock { recipients: vec!["age1x".into()], ..SecretsBlock::default() };
        block.values.insert("p".into(), "AAAA".into());
        let text = "# about\ntarget: local\nsecrets:\n  values:\n    old: BBBB\nconfig:\n  # why\n  a: 1\n";
        let expected = "# about\ntarget: local\nconfig:\n  # why\n  a: 1\nsecrets:\n  recipients:\n    - age1x\n  values:\n    p: AAAA\n";
        assert_eq!(replace_block(text, &block), expected);
        assert_eq!(replace_block(expected, &block), expected);
    }

    #[test]
    fn secrets_are_not_printed_and_passwords_differ() {
        let one = generate_password().unwrap();
        let two = generate_password().unwrap();
        assert_ne!(one, two);
        assert_eq!(one.expose().len(), 32);
        assert_eq!(format!("{one:?}"), "Secret(…)");
    }
}
