//! The answering guest as a projection of the mode `async`. See [`answering`] for what its events do.

answering::component!("answering_async", Async);
