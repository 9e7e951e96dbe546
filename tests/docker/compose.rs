//! `docker-compose` itself: `--scale` is a rollout, in the form of labels of either version.

use std::process::Command;

use tidegate_tests::{Engine, Net, await_until};

use crate::load::Load;
use crate::{await_ready, beside, ready, refs, shop};

/// A project of which every word of `docker-compose` is about; dropped, it is taken down.
struct Project<'e> {
    engine: &'e Engine,
    folder: tempfile::TempDir,
    name: String,
}

impl Project<'_> {
    fn compose(&self, words: &[&str]) {
        let file = self.folder.path().join("docker-compose.yml");
        let mut command = Command::new("timeout");
        command.args(["60", "docker-compose", "-p", &self.name, "-f"]).arg(file).args(words).env("DOCKER_HOST", self.engine.host());
        let done = command.output().expect("docker-compose can be started");
        assert!(done.status.success(), "docker-compose {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn scale(&self, replicas: usize) {
        self.compose(&["up", "-d", "--no-recreate", "--scale", &format!("web={replicas}")]);
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        self.compose(&["down", "-t", "2"]);
    }
}

#[test]
fn scale_is_a_rollout_and_costs_no_request() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let subnet = net.service_cidr().replacen("127.", "10.", 1);
    let text = format!(
        "version: '3.7'\nservices:\n  web:\n    image: replica\n    environment: {{SERVICE: web}}\n    labels: {{tidegate.dev/port: '80'}}\n    stop_grace_period: 5s\n\
         networks:\n  default:\n    ipam: {{config: [{{subnet: {subnet}}}]}}\n"
    );
    std::fs::write(folder.path().join("docker-compose.yml"), text).expect("the temporary folder can be written");
    let project = Project { engine, folder, name: net.label() };
    let service = format!("{}/web:80", project.name);
    let tidegate = beside(engine, &net, &shop(&project.name, "web", "scale.test"));
    let count = |replicas: usize| {
        project.scale(replicas);
        await_until(&format!("{replicas} replicas"), || ready(&tidegate, &service).len() == replicas);
        let row = || tidegate.rows("workloads").into_iter().find(|row| row["namespace"] == *project.name);
        await_until("the workload's counts", || row().is_some_and(|row| row["desired"] == replicas && row["ready"] == replicas));
    };
    count(2);
    let load = Load::start(tidegate.http(), "scale.test");
    count(5);
    load.more();
    count(1);
    load.more();
    let who = load.finish(4);
    assert!(who.len() > 2, "those that came were asked: {who:?}");
    // A single command beside the replicas has their labels and is none.
    let last = ready(&tidegate, &service);
    project.compose(&["run", "-d", "web"]);
    await_until("the single command's container", || {
        let containers = engine.docker(&["ps", "-q", "--filter", &format!("label=com.docker.compose.project={}", project.name)]);
        containers.lines().count() == 2
    });
    project.scale(2);
    await_until("the second replica", || ready(&tidegate, &service).len() == 2);
    assert!(ready(&tidegate, &service).contains(&last[0]));
}

#[test]
fn the_labels_of_the_second_version_mean_the_same() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let form = |number: usize, oneoff: &str| {
        [
            "com.docker.compose.project=second".to_owned(),
            "com.docker.compose.service=web".to_owned(),
            format!("com.docker.compose.container-number={number}"),
            format!("com.docker.compose.oneoff={oneoff}"),
            "com.docker.compose.version=2.40.3".to_owned(),
            "tidegate.dev/port=80".to_owned(),
            "com.docker.compose.depends_on=".to_owned(),
            "com.docker.compose.project.working_dir=/srv/second".to_owned(),
            "com.docker.compose.project.config_files=/srv/second/compose.yaml".to_owned(),
        ]
    };
    let start = |number: usize, oneoff: &str| {
        let labels = form(number, oneoff).into_iter().flat_map(|label| ["--label".to_owned(), label]);
        let name = ["--name".to_owned(), format!("second-web-{number}"), "--network".to_owned(), network.name.clone()];
        engine.run("web", &refs(&name.into_iter().chain(labels).collect::<Vec<_>>()))
    };
    let (one, two, _single) = (start(1, "False"), start(2, "False"), start(3, "True"));
    let tidegate = beside(engine, &net, &shop("second", "web", "second.test"));
    await_ready(&tidegate, "second/web:80", &[one.host_name(), two.host_name()]);
    // The second version names a container anew when it takes the place of another, while it serves.
    let before: Vec<_> = tidegate.rows("endpoints").iter().map(|row| row["replica"].clone()).collect();
    let load = Load::start(tidegate.http(), "second.test");
    engine.docker(&["rename", &one.id, "second-web-7"]);
    await_until("the new name", || {
        let containers = engine.docker(&["inspect", "-f", "{{.Name}}", &one.id]);
        containers == "/second-web-7"
    });
    load.more();
    load.finish(0);
    await_ready(&tidegate, "second/web:80", &[one.host_name(), two.host_name()]);
    let after: Vec<_> = tidegate.rows("endpoints").iter().map(|row| row["replica"].clone()).collect();
    assert_eq!(before, after, "a name is not who it is");
}
