//! Nodes.

use scopegate_provider::Secret;

use super::*;

pub(in crate::store) async fn a_node_replaces_its_own_report_and_old_ones_are_removed(store: &dyn Backend) {
    let report = |id: &str, seen, text: &str| NodeRecord { id: id.to_owned(), seen, report: text.to_owned() };
    let second = Duration::from_secs(1);
    for one in [report("b", NOW, "1"), report("a", NOW, "2"), report("b", NOW + second, "3")] {
        store.report_node(one, NOW).await.unwrap();
    }
    let expected = [report("a", NOW, "2"), report("b", NOW + second, "3")];
    assert_eq!(store.nodes().await.unwrap(), expected);
    store.report_node(report("c", NOW + second, "4"), NOW + second).await.unwrap();
    let ids: Vec<_> = store.nodes().await.unwrap().into_iter().map(|node| node.id).collect();
    assert_eq!(ids, ["b", "c"]);
    let heads = store.heads().await.unwrap();
    assert_eq!(heads, Heads::default(), "a report is no change that nodes have to follow");
}

pub(in crate::store) async fn the_first_session_secret_is_that_of_all_nodes(store: &dyn Backend) {
    for proposed in ["first", "second"] {
        let secret = store.session_secret(&Secret::new(proposed)).await.unwrap();
        assert_eq!(secret.reveal(), "first");
    }
}
