//! Logins that cost little: a client without optimisation takes 25 ms for the 4096 rounds of a
//! password that PostgreSQL has hashed, and the tests connect ten thousand times. The number of
//! rounds is the server's to say, and stands with the hash: here it is one.

use eventfabric_embedded::{ADMINISTRATOR, Embedded, OWNER};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// The passwords are random, and so are their hashes.
const SALT: &[u8] = b"a salt of tests!";

/// Hashes the passwords of both roles anew.
pub async fn quicken(server: &Embedded) -> sqlx::Result<()> {
    let url = server.administrator_url();
    let password = url.rsplit_once('@').and_then(|(user, _)| user.rsplit_once(':'));
    let (_, password) = password.expect("the URL has a password");
    let mut admin = PgConnection::connect_with(&server.administrator()).await?;
    let secret = secret(&mut admin, password).await?;
    for role in [ADMINISTRATOR, OWNER] {
        admin.execute(AssertSqlSafe(format!("ALTER ROLE {role} PASSWORD '{secret}'"))).await?;
    }
    admin.close().await
}

/// What PostgreSQL stores of a password (RFC 5803), after one round.
async fn secret(conn: &mut PgConnection, password: &str) -> sqlx::Result<String> {
    let salted = hmac(password.as_bytes(), &[SALT, &1_u32.to_be_bytes()].concat());
    let stored = Sha256::digest(hmac(&salted, b"Client Key"));
    sqlx::query_scalar(
        "SELECT format('SCRAM-SHA-256$1:%s$%s:%s',
                       encode($1, 'base64'), encode($2, 'base64'), encode($3, 'base64'))",
    )
    .bind(SALT)
    .bind(&stored[..])
    .bind(hmac(&salted, b"Server Key"))
    .fetch_one(conn)
    .await
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}
