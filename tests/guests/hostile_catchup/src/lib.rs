//! The hostile guest as a projection of the mode `catchup`.
//! See [`hostile`] for what its events do.

hostile::component!("hostile_catchup", CatchUp);
