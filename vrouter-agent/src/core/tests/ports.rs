//! Ports: programmed, announced, answered, in this order; readiness; what is refused.

use dataplane::TranslationKind;

use super::*;
use crate::core::Denied;
use arcus_api::v1::PortState;

#[test]
fn a_port_is_programmed_then_announced_then_answered() {
    let mut bed = Bed::connected();
    let request: PortRequest = serde_json::from_str(LEONARDO).unwrap();
    let id = bed.request();
    bed.core.put_port(id, port_id("leo-1"), ipam::read_request(&request).unwrap());
    bed.core.settle();
    assert!(bed.core.take_work(bed.now).is_some(), "it is handed to the data plane");
    assert_eq!(bed.announced(), [""; 0], "and nobody is told before that says yes");
    assert!(bed.core.take_answers().is_empty());

    let mut bed = Bed::connected();
    let status = bed.put("leo-1", LEONARDO).unwrap().unwrap();
    assert_eq!((status.state, status.label), (PortState::Programmed, 16));
    assert_eq!(
        bed.announced(),
        [
            "10.2.1.11:1:10.20.0.11/32 16 64512:100",
            "10.2.1.11:1:10.254.98.15/32 16 64512:100,64512:5001",
        ]
    );
    let wanted: BTreeSet<String> = ["64512:100", "64512:5002"].map(String::from).into();
    assert_eq!(
        bed.memberships(),
        wanted,
        "its own targets and the ports that may call its services"
    );
    assert_eq!(bed.route("leonardo", "10.20.0.11/32"), "port leo-1");
    assert_eq!(bed.route("leonardo", "10.254.98.15/32"), "translate 10.254.98.15 in vrf 1");
}

#[test]
fn asking_again_for_the_same_changes_nothing() {
    let mut bed = Bed::connected();
    let first = bed.put("leo-1", LEONARDO);
    let (saved, seq) = (bed.saved.clone(), bed.core.seq);
    assert_eq!(bed.put("leo-1", LEONARDO), first);
    assert_eq!((bed.saved.clone(), bed.core.seq), (saved, seq));
}

#[test]
fn asking_for_something_else_under_the_same_name_is_a_change() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    bed.put("leo-1", &LEONARDO.replace("10.20.0.11", "10.20.0.12")).unwrap();
    let routes: Vec<_> = bed.announced();
    assert!(routes[0].contains("10.20.0.12/32") && routes.len() == 2, "{routes:?}");
    assert_eq!(bed.route("leonardo", "10.20.0.11/32"), "");
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    bed.put("nginx-1", NGINX).unwrap();
    let before = bed.saved.clone();
    let cases = [
        (
            LEONARDO.replace("\"leonardo\", \"netns\"", "\"leonrdo\", \"netns\""),
            "there is no network `leonrdo`",
        ),
        (LEONARDO.replace("\"leonardo\", \"netns\"", "\"database\", \"netns\""), "is in openstack"),
        (LEONARDO.replace("10.20.0.11", "10.30.0.11"), "outside of the subnets"),
        (LEONARDO.replace("10.20.0.11", "10.20.0.1"), "is the gateway"),
        (LEONARDO.replace("10.20.0.11", "10.20.0.0"), "not an address of a host"),
        (LEONARDO.replace("10.254.98.15", "10.254.99.15"), "outside of the service-subnets"),
        (LEONARDO.replace("leo-1", "leo-2"), "is the port address of port `leo-1`"),
        (LEONARDO.replace("10.20.0.11", "10.20.0.12"), "is the interface of port `leo-1`"),
        (
            NGINX.replace("185.22.97.188", "185.22.98.1").replace("0.11", "0.12"),
            "outside of the subnets",
        ),
        (
            NGINX
                .replace("nginx-1", "n-2")
                .replace("public", "nginx")
                .replace("185.22.97.188", "10.10.0.11")
                .replace("\"ip\": \"10.10.0.11\"", "\"ip\": \"10.10.0.12\""),
            "is the port address of port `nginx-1`",
        ),
    ];
    for (request, want) in cases {
        let error = bed.put("new", &request).expect_err(want).to_string();
        assert!(error.contains(want), "{request}: {error}");
    }
    assert_eq!(bed.saved, before, "nothing that was refused is left over");
}

#[test]
fn a_port_that_is_not_ready_keeps_its_own_address_only() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    bed.ready("leo-1", false).unwrap();
    assert_eq!(bed.announced(), ["10.2.1.11:1:10.20.0.11/32 16 64512:100"]);
    assert_ne!(bed.route("leonardo", "10.254.98.15/32"), "", "others may not have heard yet");
    bed.wait(Duration::from_secs(1));
    assert_eq!(bed.route("leonardo", "10.254.98.15/32"), "");
    assert!(bed.state().translations.is_empty());

    bed.ready("leo-1", true).unwrap();
    assert_eq!(bed.announced().len(), 2);
    assert_eq!(bed.state().translations.len(), 1);
}

#[test]
fn a_service_is_announced_while_one_endpoint_is_ready() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    let second = LEONARDO.replace("leo-1", "leo-2").replace("20.0.11", "20.0.12");
    bed.put("leo-2", &second).unwrap();
    bed.ready("leo-1", false).unwrap();
    bed.wait(Duration::from_secs(1));
    assert!(bed.announced().iter().any(|route| route.contains("10.254.98.15/32")));
    let translation = bed.state().translations.values().next().expect("the service").clone();
    let TranslationKind::Service { ports, .. } = translation.kind else { panic!("a service") };
    let backends: Vec<_> = ports.values().flatten().map(|b| b.port.to_string()).collect();
    assert_eq!(backends, ["leo-2"]);
}

#[test]
fn a_port_goes_after_others_could_hear_of_it() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    let request = bed.request();
    bed.core.remove_port(bed.now, request, &port_id("leo-1"));
    bed.turn();
    assert_eq!(bed.announced(), [""; 0], "withdrawn at once");
    bed.wait(crate::core::GRACE / 2);
    assert_eq!(bed.state().ports.len(), 1, "and still there");
    assert_eq!(bed.answer(request), None);
    bed.wait(Duration::from_secs(1));
    assert_eq!(bed.answer(request), Some(Ok(None)));
    assert_eq!(*bed.state(), Desired { node: bed.state().node.clone(), ..Desired::default() });
    assert!(bed.saved.ports.is_empty());
    assert_eq!(bed.memberships(), BTreeSet::new());
    assert_eq!(bed.remove("leo-1"), Ok(None), "what is gone can be removed again");
}

#[test]
fn a_port_that_comes_back_while_it_goes_stays() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    let removal = bed.request();
    bed.core.remove_port(bed.now, removal, &port_id("leo-1"));
    bed.turn();
    assert!(bed.put("leo-1", LEONARDO).is_ok());
    assert!(matches!(bed.answer(removal), Some(Err(Denied::Overtaken(_)))));
    bed.wait(Duration::from_secs(1));
    assert_eq!(bed.announced().len(), 2);
}

#[test]
fn nothing_is_done_that_could_not_be_stored() {
    let mut bed = Bed::connected();
    let request: PortRequest = serde_json::from_str(LEONARDO).unwrap();
    let id = bed.request();
    bed.core.put_port(id, port_id("leo-1"), ipam::read_request(&request).unwrap());
    bed.core.settle();
    assert!(bed.core.take_unsaved().is_some());
    bed.core.not_saved("no space left on device");
    let answers = bed.core.take_answers();
    assert!(matches!(&answers[..], [(_, Err(Denied::NotSaved(why)))] if why.contains("no space")));
    bed.turn();
    assert!(bed.state().ports.is_empty() && bed.announced().is_empty());
    assert!(bed.put("leo-1", LEONARDO).is_ok(), "later there is room again");
}

#[test]
fn a_floating_address_is_announced_from_its_own_network() {
    let mut bed = Bed::connected();
    bed.put("nginx-1", NGINX).unwrap();
    assert_eq!(
        bed.announced(),
        [
            "10.2.1.11:1:10.10.0.11/32 16 64512:200,64512:5002",
            "10.2.1.11:2:185.22.97.188/32 17 64512:900",
        ]
    );
    assert_eq!(bed.route("public", "185.22.97.188/32"), "translate 185.22.97.188 in vrf 2");
    assert!(bed.memberships().contains("64512:900"));
}

fn is_exclusive(bed: &Bed) -> bool {
    let translation = bed.state().translations.values().next().expect("a floating address");
    matches!(translation.kind, TranslationKind::Floating { exclusive: true, .. })
}

#[test]
fn a_floating_address_is_exclusive_only_while_one_port_has_it() {
    let mut bed = Bed::connected();
    bed.put("nginx-1", NGINX).unwrap();
    assert!(is_exclusive(&bed));

    let second = NGINX.replace("nginx-1", "nginx-2").replace("10.0.11", "10.0.12");
    bed.put("nginx-2", &second.replace("}]}", "}], \"ready\": false}")).unwrap();
    assert!(!is_exclusive(&bed), "another port of this node has it, ready or not");
    bed.remove("nginx-2").unwrap();
    assert!(is_exclusive(&bed));

    let other = Told::new("10.2.1.12:2", "185.22.97.188/32", "10.2.1.12", "64512:900");
    bed.hear(CTL_1, &other.update());
    assert!(!is_exclusive(&bed), "another node announces it");
    bed.hear(CTL_1, &other.withdrawal());
    assert!(is_exclusive(&bed));
}

#[test]
fn a_port_that_cannot_be_attached_is_told_and_not_announced_until_it_is() {
    let mut bed = Bed::connected();
    bed.set_broken(Some("leo-1"));
    let status = bed.put("leo-1", LEONARDO).unwrap().unwrap();
    let PortState::Failed { reason } = status.state else { panic!("{status:?}") };
    assert!(reason.contains("no such namespace"), "{reason}");
    assert_eq!(bed.announced(), [""; 0]);

    bed.set_broken(None);
    bed.retry();
    assert_eq!(bed.core.status_of(&port_id("leo-1")).unwrap().state, PortState::Programmed);
    assert_eq!(bed.announced().len(), 2);
    assert_eq!(bed.plane.failing(), 0);
}

#[test]
fn a_broken_backend_does_not_take_the_others_along() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    bed.set_broken(Some("leo-2"));
    let second = LEONARDO.replace("leo-1", "leo-2").replace("20.0.11", "20.0.12");
    bed.put("leo-2", &second).unwrap();
    assert_eq!(bed.announced().len(), 2, "its own address and the service of the first");
    let translation = bed.state().translations.values().next().expect("the service").clone();
    let backends: Vec<_> = translation.targets().map(ToString::to_string).collect();
    assert_eq!(backends, ["leo-1"]);
}

#[test]
fn whoever_removes_a_port_is_answered_also_when_it_came_and_went_again_meanwhile() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    let remove = |bed: &mut Bed| {
        let request = bed.request();
        bed.core.remove_port(bed.now, request, &port_id("leo-1"));
        // The grace is over, and the data plane has not got to it.
        bed.now += Duration::from_secs(1);
        bed.core.tick(bed.now);
        request
    };
    let first = remove(&mut bed);
    let again: PortRequest = serde_json::from_str(LEONARDO).unwrap();
    let put = bed.request();
    bed.core.put_port(put, port_id("leo-1"), ipam::read_request(&again).unwrap());
    let second = remove(&mut bed);
    bed.turn();
    assert_eq!(bed.answer(first), Some(Ok(None)));
    assert!(matches!(bed.answer(put), Some(Err(Denied::Overtaken(_)))));
    assert_eq!(bed.answer(second), Some(Ok(None)));
}

#[test]
fn one_backend_too_many_does_not_take_the_service_away() {
    let mut bed = Bed::connected();
    for n in 0..=dataplane::Translation::MAX_TARGETS {
        let (id, last) = (format!("leo-{n}"), n + 10);
        let request = LEONARDO.replace("leo-1", &id).replace("0.11", &format!("0.{last}"));
        let status = bed.put(&id, &request).unwrap().unwrap();
        assert_eq!(status.state, PortState::Programmed, "{id}");
    }
    let [TranslationKind::Service { ports, .. }] =
        &bed.state().translations.values().map(|to| to.kind.clone()).collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", bed.state().translations)
    };
    let backends: Vec<_> = ports.values().map(Vec::len).collect();
    assert_eq!(backends, [dataplane::Translation::MAX_TARGETS]);
    assert!(bed.announced().iter().any(|route| route.contains("10.254.98.15/32")));
}
