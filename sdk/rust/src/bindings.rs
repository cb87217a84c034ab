//! What `wit-bindgen` makes of `wit/projection.wit`: the raw contract, without the comfort of the
//! rest of this crate.
//!
//! The generated code converts between Rust and the flat memory that crosses the boundary, which
//! takes `unsafe`; so this crate cannot forbid it as a whole. It denies it, and this module is the
//! only exception. Outside of WebAssembly the imports of the contract compile to stubs that panic
//! when they are called; native tests put a [`Backend`](crate::Backend) of their own in their place.

#![allow(missing_docs, unsafe_code, clippy::all, clippy::pedantic)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "projection",
    pub_export_macro: true,
    default_bindings_module: "::eventfabric_sdk::bindings",
    additional_derives: [PartialEq],
});

/// The same of `wit/query/query.wit`, for plugins that answer queries.
pub mod query {
    wit_bindgen::generate!({
        inline: "
            package eventfabric:sdk;
            world queries { export eventfabric:query/queries@0.1.0; }
        ",
        path: ["../../wit", "../../wit/query"],
        world: "eventfabric:sdk/queries",
        with: {
            "eventfabric:projection/types@0.1.0": super::eventfabric::projection::types,
            "eventfabric:projection/sql@0.1.0": super::eventfabric::projection::sql,
        },
        pub_export_macro: true,
        default_bindings_module: "::eventfabric_sdk::bindings::query",
        additional_derives: [PartialEq],
    });
}

/// The same of `wit/process-manager/process-manager.wit`, for plugins that answer events with events. A
/// component imports it where something in it is called.
pub mod process {
    wit_bindgen::generate!({
        inline: "
            package eventfabric:sdk;
            world process-manager { import eventfabric:process-manager/event-store@0.1.0; }
        ",
        path: ["../../wit", "../../wit/process-manager"],
        world: "eventfabric:sdk/process-manager",
        generate_all,
        with: {
            "eventfabric:projection/types@0.1.0": super::eventfabric::projection::types,
            "eventfabric:projection/sql@0.1.0": super::eventfabric::projection::sql,
        },
        additional_derives: [PartialEq],
    });
}

/// The same of `wit/reactor/reactor.wit`, for plugins that send requests.
pub mod reactor {
    wit_bindgen::generate!({
        inline: "
            package eventfabric:sdk;
            world outgoing { import eventfabric:reactor/outgoing@0.1.0; }
        ",
        path: ["../../wit", "../../wit/reactor"],
        world: "eventfabric:sdk/outgoing",
        generate_all,
        additional_derives: [PartialEq],
    });
}
