//! The Rust side of the WIT, generated: one module for what every component may import, and one for each
//! interface that it may export.
//!
//! Each export has a world of its own, because what a world exports, a component must have: a single world with
//! everything would make every component export everything. The types are those of `imports` throughout.
//! Nothing here is written by hand, and nothing outside of this crate names it: the rest of the crate re-exports it.
#![expect(missing_docs, reason = "generated, and documented in the WIT")]

pub mod imports {
    wit_bindgen::generate!({
        path: "wit",
        world: "edgewit:worlds/imports",
        additional_derives: [PartialEq, Eq],
        generate_all,
        generate_unused_types: true,
    });
}

pub mod messages {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgewit:sdk-messages; world messages { export edgewit:pubsub/handler@0.1.0; }",
        with: { "edgewit:pubsub/types@0.1.0": crate::bindings::imports::edgewit::pubsub::types },
        pub_export_macro: true,
        default_bindings_module: "edgewit_sdk::__private::messages",
    });
}

pub mod ticks {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgewit:sdk-ticks; world ticks { export edgewit:timer/handler@0.1.0; }",
        with: {
            "edgewit:pubsub/types@0.1.0": crate::bindings::imports::edgewit::pubsub::types,
            "edgewit:timer/types@0.1.0": crate::bindings::imports::edgewit::timer::types,
        },
        pub_export_macro: true,
        default_bindings_module: "edgewit_sdk::__private::ticks",
    });
}

pub mod deltas {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgewit:sdk-deltas; world deltas { export edgewit:shadow/handler@0.1.0; }",
        with: {
            "edgewit:pubsub/types@0.1.0": crate::bindings::imports::edgewit::pubsub::types,
            "edgewit:shadow/types@0.1.0": crate::bindings::imports::edgewit::shadow::types,
        },
        pub_export_macro: true,
        default_bindings_module: "edgewit_sdk::__private::deltas",
    });
}

pub mod changes {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgewit:sdk-changes; world changes { export edgewit:shadow/observer@0.1.0; }",
        with: {
            "edgewit:pubsub/types@0.1.0": crate::bindings::imports::edgewit::pubsub::types,
            "edgewit:shadow/types@0.1.0": crate::bindings::imports::edgewit::shadow::types,
        },
        pub_export_macro: true,
        default_bindings_module: "edgewit_sdk::__private::changes",
    });
}

pub mod init {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgewit:sdk-init; world init { export edgewit:lifecycle/start@0.1.0; }",
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
        default_bindings_module: "edgewit_sdk::__private::init",
    });
}

pub mod health {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgewit:sdk-health; world health { export edgewit:lifecycle/health@0.1.0; }",
        pub_export_macro: true,
        default_bindings_module: "edgewit_sdk::__private::health",
    });
}

pub mod state {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package edgewit:sdk-state; world state { export edgewit:lifecycle/state@0.1.0; }",
        pub_export_macro: true,
        default_bindings_module: "edgewit_sdk::__private::state",
    });
}
