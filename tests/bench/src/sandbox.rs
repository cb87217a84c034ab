//! What the sandbox costs a projection that writes in batches.

use crate::catch_up::{Way, one};
use crate::place::Database;
use crate::table::{Row, compare, in_turns};
use crate::{Bench, guest, host, native, week};

const MODEL: &str = "carriers";

/// Whose rights a plugin's statements have.
#[derive(Clone, Copy)]
enum Rights {
    /// Those of the plugin's role: the wall that costs something at each call.
    Plugins,
    /// Those of the host.
    Hosts,
}

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let db = bench.place.database("sandbox").await?;
    week::fill(&db, bench.events()).await?;
    host::install(&db, &bench.guests, guest::CATCH_UP, 1).await?;
    native::install(&db).await?;
    let mut table = Vec::new();
    for (kind, plugin, program) in [
        ("execute-batch", "carriers batch", native::Way::CarriersBatch),
        ("merged", "carriers merged", native::Way::CarriersMerged),
    ] {
        let case = format!("{MODEL}, {kind}, {} events", bench.events());
        // The statements are judged once a version.
        one(&db, MODEL, Way::Plugin(plugin), bench.events()).await?;
        let ways = [
            ("plugin", (Way::Plugin(plugin), Rights::Plugins)),
            ("plugin, with the host's rights", (Way::Plugin(plugin), Rights::Hosts)),
            ("native, the same statements", (Way::Native(program), Rights::Plugins)),
        ];
        let measure = async |(way, rights)| {
            run_as(&db, rights).await?;
            one(&db, MODEL, way, bench.events()).await
        };
        let mut rows = in_turns(bench.rounds(), &ways, &case, "events/s", measure).await?;
        compare(&mut rows, "plugin", "plugin, with the host's rights", Some(0.9));
        compare(&mut rows, "plugin", "native, the same statements", None);
        table.append(&mut rows);
    }
    db.remove().await?;
    Ok(table)
}

async fn run_as(db: &Database, rights: Rights) -> anyhow::Result<()> {
    let schema = guest::name(guest::CATCH_UP, 0);
    let security = match rights {
        Rights::Plugins => "DEFINER",
        Rights::Hosts => "INVOKER",
    };
    db.execute(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO public; GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO public;
         DO $$ DECLARE function regprocedure; BEGIN
             FOR function IN SELECT oid FROM pg_proc
                             WHERE pronamespace = 'eventfabric_calls'::regnamespace AND prolang <>
                                   (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')
             LOOP EXECUTE format('ALTER FUNCTION %s SECURITY {security}', function); END LOOP;
         END $$"
    ))
    .await
}
