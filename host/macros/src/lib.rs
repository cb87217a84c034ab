//! Derive macros of EventFabric. Use them by `eventfabric::session`, where they are documented.

mod event;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes an enum the events of an aggregate: a variant is an event type. See
/// `eventfabric::session::DomainEvent`.
#[proc_macro_derive(DomainEvent, attributes(event, serde))]
pub fn derive_domain_event(input: TokenStream) -> TokenStream {
    event::derive(&parse_macro_input!(input))
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
