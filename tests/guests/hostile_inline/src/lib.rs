//! The hostile guest as a projection of the mode `inline`.
//! See [`hostile`] for what its events do.

hostile::component!("hostile_inline", Inline);
