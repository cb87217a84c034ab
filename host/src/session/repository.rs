//! Load, change, save in one call.

use std::marker::PhantomData;

use super::aggregate::Aggregate;
use super::error::SessionError;
use super::factory::SessionFactory;
use super::load::load;
use super::save::Saved;

/// The aggregates of one kind, one unit of work a call. Changes are retried after a conflict, as
/// [`SessionFactory::with_retry`] does.
pub struct Repository<A> {
    factory: SessionFactory,
    aggregate: PhantomData<fn() -> A>,
}

impl SessionFactory {
    /// The aggregates of one kind.
    pub fn repository<A: Aggregate>(&self) -> Repository<A> {
        Repository { factory: self.clone(), aggregate: PhantomData }
    }
}

impl<A: Aggregate> Repository<A> {
    /// An aggregate as it is now, with the version of its last event.
    ///
    /// # Errors
    /// As [`Session::load`](super::Session::load).
    pub async fn load(&self, id: &str) -> Result<(A, i32), SessionError> {
        self.find(id)
            .await?
            .ok_or_else(|| SessionError::UnknownStream { stream: self.factory.stream::<A>(id) })
    }

    /// The same, if there is such a stream.
    ///
    /// # Errors
    /// As [`Session::find`](super::Session::find).
    pub async fn find(&self, id: &str) -> Result<Option<(A, i32)>, SessionError> {
        let (parts, context) = (&self.factory.parts, &self.factory.context);
        context.check_tenant()?;
        let stream = self.factory.stream::<A>(id);
        let setup = parts.setup::<A>()?;
        let loaded =
            load(&context.store, &parts.upcasters, &setup, stream, context.dismissed).await?;
        Ok(loaded.map(|tracked| (tracked.state, tracked.version)))
    }

    /// Starts a stream with what the aggregate raises.
    ///
    /// # Errors
    /// That of `work`, and a conflict where the stream is there already.
    pub async fn create<T, E: From<SessionError>>(
        &self,
        id: &str,
        work: impl FnOnce(&mut A) -> Result<T, E>,
    ) -> Result<(T, Saved), E> {
        let mut session = self.factory.session();
        let handle = session.start_stream::<A>(id)?;
        let value = work(&mut session[handle])?;
        Ok((value, session.save().await?))
    }

    /// Loads an aggregate, has it raise events, and saves them.
    ///
    /// # Errors
    /// That of `work`, and those of loading and saving.
    pub async fn modify<T, E: From<SessionError>>(
        &self,
        id: &str,
        mut work: impl FnMut(&mut A) -> Result<T, E>,
    ) -> Result<(T, Saved), E> {
        self.factory
            .with_retry(async |session| {
                let handle = session.load::<A>(id).await?;
                work(&mut session[handle])
            })
            .await
    }

    /// Loads an aggregate, or begins with its first state where there is none, asks a function what
    /// follows from it, and saves that.
    ///
    /// # Errors
    /// That of `decide`, and those of loading and saving.
    pub async fn decide<I, E: From<SessionError>>(
        &self,
        id: &str,
        mut decide: impl FnMut(&A) -> Result<I, E>,
    ) -> Result<Saved, E>
    where
        I: IntoIterator<Item = A::Event>,
    {
        let ((), saved) = self
            .factory
            .with_retry(async |session| {
                let handle = session.load_or_start::<A>(id).await?;
                session.decide(handle, &mut decide)
            })
            .await?;
        Ok(saved)
    }
}
