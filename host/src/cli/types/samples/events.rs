// Made by `eventfabric types --lang rust`.

use serde::Deserialize;

/// The newest version of each event. In the payload, `type` says which of these it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type")]
pub enum Events {
    #[serde(rename = "Account.Opened")]
    AccountOpened(AccountOpened),
    MoneyDeposited(MoneyDeposited),
    MoneyDepositedLinesItem(MoneyDepositedLinesItem),
    #[serde(rename = "Option")]
    Option2(Option2),
}

/// The data of Account.Opened, version 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AccountOpenedV1 {
    pub cents: i64,
    pub owner: String,
}

/// The data of Account.Opened, version 2.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AccountOpened {
    /// A time, RFC 3339.
    pub at: String,
    /// A UUID.
    pub id: String,
    pub limit: Option<u64>,
    pub owner: AccountOpenedOwner,
    pub tags: Vec<Option<String>>,
}

/// A part of the data of an event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AccountOpenedOwner {
    /// A date: YYYY-MM-DD.
    pub born: String,
    #[serde(rename = "middle-name")]
    pub middle_name: Option<String>,
    pub name: String,
}

/// The data of MoneyDeposited, version 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MoneyDeposited {
    pub cents: i64,
    pub class: Option<bool>,
    pub lines: Vec<MoneyDepositedLinesItem2>,
    pub note: Option<serde_json::Value>,
    pub rate: f64,
}

/// A part of the data of an event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MoneyDepositedLinesItem2 {
    pub count: i64,
    pub price: Option<f64>,
    pub sku: String,
}

/// The data of MoneyDepositedLinesItem, version 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MoneyDepositedLinesItem {}

/// The data of Option, version 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Option2 {
    #[serde(rename = "2nd")]
    pub x2nd: String,
    #[serde(rename = "aB")]
    pub a_b: i64,
    #[serde(rename = "a_b")]
    pub a_b_: i64,
    #[serde(rename = "a`b")]
    pub a_b__: i64,
    pub any: serde_json::Value,
    pub class: String,
    pub type_: Vec<f64>,
}
