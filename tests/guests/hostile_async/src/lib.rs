//! The hostile guest as a projection of the mode `async`.
//! See [`hostile`] for what its events do.

hostile::component!("hostile_async", Async);
