//! A file of credentials: a user's JWT, and the seed of the key that signs for it.

/// What a file of credentials holds.
pub(super) struct Credentials {
    pub jwt: String,
    seed: String,
}

/// Reads the text of a file of credentials.
pub(super) fn parse(text: &str) -> Option<Credentials> {
    let part = |name: &str| {
        let lines = text.lines().map(str::trim);
        let mut lines = lines.skip_while(|line| !(line.contains("BEGIN") && line.contains(name)));
        lines.next()?;
        lines.find(|line| !line.is_empty()).map(str::to_owned)
    };
    Some(Credentials { jwt: part("USER JWT")?, seed: part("USER NKEY SEED")? })
}

impl Credentials {
    /// Signs what a server asks to be signed. An error says nothing of the seed.
    pub(super) fn sign(&self, nonce: &[u8]) -> Result<Vec<u8>, &'static str> {
        let pair = nkeys::KeyPair::from_seed(&self.seed).map_err(|_| "its seed is wrong")?;
        pair.sign(nonce).map_err(|_| "its seed cannot sign")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_credentials_is_read_and_signs() {
        let pair = nkeys::KeyPair::new_user();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.x.y\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            pair.seed().unwrap()
        );
        let credentials = parse(&text).unwrap();
        assert_eq!(credentials.jwt, "eyJ0.x.y");
        let signature = credentials.sign(b"nonce").unwrap();
        pair.verify(b"nonce", &signature).unwrap();
        assert!(parse("eyJ0.x.y").is_none());
        let wrong = Credentials { jwt: String::new(), seed: "SUAWRONG".to_owned() };
        assert!(wrong.sign(b"nonce").is_err());
    }
}
