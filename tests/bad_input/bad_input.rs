//! Bad input: from operators, whose every mistake is named while the rest serves; and from hostile clients.

use tidegate_tests::objects::{app, file, ingress, path, service, service_at, tcp};
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, await_until, command};

mod clients;
mod manifests;
