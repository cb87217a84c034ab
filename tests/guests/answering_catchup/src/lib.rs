//! The answering guest as a projection of the mode `catchup`. See [`answering`] for what its events do.

answering::component!("answering_catchup", CatchUp);
