use eventfabric::projection::{Description, Migration, Mode, TopicFilter};

/// What a catch-up plugin says of itself, with these migrations, numbered from 1.
pub fn description(name: &str, migrations: &[&str]) -> Description {
    Description {
        name: name.to_owned(),
        text: String::new(),
        mode: Mode::CatchUp,
        topics: TopicFilter::All,
        event_types: Vec::new(),
        migrations: (1..)
            .zip(migrations)
            .map(|(number, sql)| Migration {
                number,
                name: format!("step {number}"),
                sql: (*sql).to_owned(),
            })
            .collect(),
    }
}
