//! How the delivery stands: what waits, what stands still and why, and what is left behind.

mod delivery;
mod doctor;
mod retention;
mod stalls;
