//! Messages over HTTP/1.1: how they are framed, forwarded, and refused when they are ambiguous.

use tidegate_tests::objects::app;
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, Tidegate};

mod bodies;
mod connections;
mod corpus;
mod curl;
mod fields;
mod refusals;
mod upgrades;

/// A gate with one replica behind `shop.example`.
struct Scene {
    gate: Tidegate,
    replica: Replica,
    _net: Net,
}

impl Scene {
    fn new(behaviour: Behaviour) -> Scene {
        Scene::with(behaviour, |setup| setup)
    }

    fn with(behaviour: Behaviour, adjust: impl FnOnce(Setup) -> Setup) -> Scene {
        let net = Net::take();
        let replica = Replica::start(&net, "one", behaviour);
        let setup = Setup::new(&net).manifest("shop.yaml", app(&net, "shop", "shop.example", &[&replica]));
        Scene { gate: adjust(setup).start(), replica, _net: net }
    }

    fn client(&self) -> Client {
        Client::connect(self.gate.http())
    }
}
