//! The answering guest as a projection of the mode `inline`. See [`answering`] for what its events do.

answering::component!("answering_inline", Inline);
