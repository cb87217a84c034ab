//! Sessions on the store of a host: its inline plugins are part of each save.

use eventfabric::session::{Aggregate, DomainEvent, SessionFactory};
use futures::FutureExt as _;

use super::rig::{Running, World, deploy_guest, quick};

#[derive(DomainEvent)]
enum DeedEvent {
    Deed {
        #[serde(rename = "do")]
        what: String,
    },
}

#[derive(Default)]
struct Deeds;

impl Aggregate for Deeds {
    type Event = DeedEvent;
    const NAME: &'static str = "Deeds";

    fn apply(&mut self, _: &DeedEvent) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inline_plugins_run_before_the_closures_of_a_save_and_may_refuse_it() {
    let world = World::new().await;
    let running = Running::start(&world, quick()).await;
    deploy_guest(&running.host, "hostile_inline").await;
    world.execute("CREATE TABLE public.seen (events bigint)").await;
    world.execute("GRANT ALL ON public.seen TO eventfabric").await;
    let factory = SessionFactory::builder(running.host.store().clone())
        .aggregate::<Deeds>(|deeds| deeds)
        .inline("after", |conn, events| {
            async move {
                let insert = sqlx::query("INSERT INTO public.seen VALUES ($1)");
                insert.bind(events.len() as i64).execute(conn).await?;
                Ok(())
            }
            .boxed()
        })
        .build()
        .unwrap();
    let mut session = factory.session();
    let deeds = session.start_stream::<Deeds>("1").unwrap();
    session.raise(deeds, DeedEvent::Deed { what: "ok".to_owned() });
    session.raise(deeds, DeedEvent::Deed { what: "ok".to_owned() });
    session.save().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM hostile_inline.seen").await, 2);
    assert_eq!(world.number("SELECT sum(events)::bigint FROM public.seen").await, 2);

    session.raise(deeds, DeedEvent::Deed { what: "poison".to_owned() });
    let error = session.save().await.unwrap_err();
    assert!(!error.is_conflict(), "trying again is of no use: {error}");
    assert!(error.to_string().contains("hostile_inline"), "{error}");
    assert_eq!(session.pending()[0].events, ["Deed"]);
    assert_eq!(world.number("SELECT count(*) FROM hostile_inline.seen").await, 2);
    assert_eq!(world.number("SELECT count(*) FROM public.seen").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM eventfabric.events").await, 2);
    running.stop().await;
}
