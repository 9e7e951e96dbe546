//! Whatever the bytes are, the reader answers; and what is wrong stays where it is.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::manifest::parse;

const GOOD: [&str; 7] = [
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  X-Frame-Options: DENY\n  more: |\n    two\n    lines\nbinaryData: {b: AA==}\n",
    "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels: {tidegate.dev/exposure: internal}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: a}\nspec:\n  clusterIP: 127.96.0.9\n  ports:\n  - {name: http, port: 80, targetPort: web}\n  - name: b\n    port: 81\n",
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web-0}\nspec:\n  containers:\n  - name: c\n    ports: [{name: web, containerPort: 8080}]\nstatus: {podIP: 127.0.1.1}\n",
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec:\n  rules:\n  - host: a.example\n    http:\n      paths:\n      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}\n",
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints:\n- addresses: [10.0.0.1]\n",
    "{\"apiVersion\": \"v1\", \"kind\": \"Endpoints\", \"metadata\": {\"name\": \"e\"}, \"subsets\": [{\"addresses\": [{\"ip\": \"10.0.0.1\"}], \"ports\": [{\"port\": 80}]}]}\n",
];

/// Documents that are YAML, and wrong.
const WRONG: [&str; 10] = [
    "7\n",
    "- a\n",
    "text\n",
    "kind: Service\n",
    "apiVersion: v1\nkind: Service\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: broken}\nspec: {ports: [{port: x}]}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: broken}\nspec: {ports: [{port: 1, port: 2}]}\n",
    "apiVersion: v1\nkind: Pod\nmetadata: {name: broken}\nstatus: {podIP: 0.0.0.0}\n",
    "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: broken}\n",
    "apiVersion: v1\nkind: List\nitems: [1, {kind: 2}, {}]\n",
];

#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, String),
    Remove(Index, u8),
    Copy(Index, Index, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let bits = prop_oneof![
        "[ -~\n]{1,4}",
        Just("\n  - ".to_owned()),
        Just(": ".to_owned()),
        Just("*a &a ".to_owned()),
        Just("\n---\n".to_owned())
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), bits).prop_map(|(at, text)| Edit::Insert(at, text)),
        (any::<Index>(), 1..20u8).prop_map(|(at, length)| Edit::Remove(at, length)),
        (any::<Index>(), any::<Index>(), 1..40u8).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: Edit) {
    let within = |index: Index, bytes: &[u8]| index.index(bytes.len() + 1);
    match edit {
        Edit::Set(at, byte) => {
            let at = within(at, bytes);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        Edit::Insert(at, text) => {
            let at = within(at, bytes);
            bytes.splice(at..at, text.into_bytes());
        }
        Edit::Remove(at, length) => {
            let at = within(at, bytes);
            bytes.drain(at..(at + usize::from(length)).min(bytes.len()));
        }
        Edit::Copy(from, to, length) => {
            let from = within(from, bytes);
            let part = bytes[from..(from + usize::from(length)).min(bytes.len())].to_vec();
            let to = within(to, bytes);
            bytes.splice(to..to, part);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let manifest = parse(&bytes);
        prop_assert!(!manifest.broken || (manifest.objects.is_empty() && manifest.problems.len() == 1));
    }

    #[test]
    fn any_text_like_yaml_gets_an_answer(text in "([a-z]{1,3}: |- |[\\[\\]{},:&*!|>'\"#?%@-]|\n {0,6}|[0-9]{1,3}|---\n){0,60}") {
        parse(text.as_bytes());
    }

    #[test]
    fn mutated_manifests_get_an_answer(which in 0..GOOD.len(), edits in proptest::collection::vec(edit(), 1..8)) {
        let mut bytes = GOOD[which].as_bytes().to_vec();
        edits.into_iter().for_each(|edit| apply(&mut bytes, edit));
        let manifest = parse(&bytes);
        for object in &manifest.objects {
            prop_assert!(!object.meta().name.is_empty());
            prop_assert!(!manifest.broken);
        }
    }

    #[test]
    fn a_wrong_document_never_changes_its_neighbours(
        order in proptest::collection::vec((any::<bool>(), any::<Index>()), 1..12),
    ) {
        let (mut with, mut without) = (String::new(), String::new());
        for (good, index) in order {
            let text = if good { GOOD[index.index(GOOD.len())] } else { WRONG[index.index(WRONG.len())] };
            for file in [&mut with].into_iter().chain(good.then_some(&mut without)) {
                file.push_str("---\n");
                file.push_str(text);
            }
        }
        let (with, without) = (parse(with.as_bytes()), parse(without.as_bytes()));
        prop_assert!(!with.broken && without.problems.is_empty());
        prop_assert_eq!(with.objects, without.objects);
    }
}
