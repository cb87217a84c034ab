//! The directory: a table that programs write to, under the settings that people write.

use eventfabric::tenancy::{DatabaseUrl, Directory, DirectoryError, Source};
use eventfabric_tests::database;

use super::tenant;

fn at(name: &str) -> DatabaseUrl {
    format!("postgres://me:hunter2@db.example/{name}").parse().unwrap()
}

#[tokio::test]
async fn a_tenant_is_added_once_found_listed_and_removed() {
    let db = database().await;
    let directory = Directory::default().with_table(db.pool(2).await);
    assert!(directory.add(&tenant("globex"), &at("g")).await.unwrap());
    assert!(directory.add(&tenant("acme"), &at("a")).await.unwrap());
    assert!(!directory.add(&tenant("acme"), &at("a")).await.unwrap(), "the same again");
    let entries = directory.list().await.unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.tenant.as_str()).collect();
    assert_eq!(names, ["acme", "globex"]);
    let acme = directory.find(&tenant("acme")).await.unwrap().unwrap();
    assert_eq!((acme.database, acme.source), (Ok(at("a")), Source::Table));
    assert!(directory.remove(&tenant("acme")).await.unwrap());
    assert!(!directory.remove(&tenant("acme")).await.unwrap());
    assert_eq!(directory.find(&tenant("acme")).await.unwrap(), None);
}

#[tokio::test]
async fn another_address_for_a_tenant_is_refused_without_its_password() {
    let db = database().await;
    let directory = Directory::default().with_table(db.pool(2).await);
    directory.add(&tenant("acme"), &at("a")).await.unwrap();
    let error = directory.add(&tenant("acme"), &at("b")).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Exists { .. }), "{error:?}");
    let told = format!("{error} {error:?} {directory:?} {:?}", directory.list().await);
    assert!(told.contains("me@db.example:5432/a") && !told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn a_tenant_of_the_settings_hides_one_of_the_table_and_is_not_written_to() {
    let db = database().await;
    let table = Directory::default().with_table(db.pool(2).await);
    table.add(&tenant("acme"), &at("table")).await.unwrap();
    let both =
        Directory::fixed([(tenant("acme"), at("settings"))].into()).with_table(db.pool(2).await);
    let acme = both.find(&tenant("acme")).await.unwrap().unwrap();
    assert_eq!((acme.database, acme.source), (Ok(at("settings")), Source::Settings));
    assert_eq!(both.list().await.unwrap().len(), 1);
    assert!(matches!(
        both.add(&tenant("acme"), &at("settings")).await,
        Err(DirectoryError::InSettings(_))
    ));
    assert!(matches!(both.remove(&tenant("acme")).await, Err(DirectoryError::InSettings(_))));
    both.replace_fixed([].into());
    let acme = both.find(&tenant("acme")).await.unwrap().unwrap();
    assert_eq!(acme.source, Source::Table);
}

#[tokio::test]
async fn an_address_that_was_spoilt_by_hand_spoils_no_other() {
    let db = database().await;
    let directory = Directory::default().with_table(db.pool(2).await);
    directory.add(&tenant("acme"), &at("a")).await.unwrap();
    sqlx::query("INSERT INTO eventfabric.tenants VALUES ('globex', 'hunter2')")
        .execute(&mut db.connect().await)
        .await
        .unwrap();
    let entries = directory.list().await.unwrap();
    assert!(entries[0].database.is_ok() && entries[1].database.is_err());
    assert!(!format!("{entries:?}").contains("hunter2"));
}
