//! A burst of changes at two nodes arrives at a third: complete, in order, within a second.

use std::collections::BTreeMap;

use super::*;

/// The tokens that are revoked, some of them to be taken back.
const TOKENS: usize = 600;

/// The tokens whose revocation is taken back.
const TAKEN_BACK: usize = 100;

/// The edits of a few scopes, one after the other.
const EDITS: usize = 200;

/// The changes of one key's trust, one after the other.
const TRUST: usize = 100;

const CHANGES: usize = TOKENS + TAKEN_BACK + EDITS + TRUST;

/// What was done, by the number of the change.
#[derive(Default)]
struct Done {
    policies: BTreeMap<ChangeNumber, Arc<StoredPolicy>>,
    revoked: Vec<(ChangeNumber, Option<ChangeNumber>)>,
    distrusted: BTreeMap<ChangeNumber, bool>,
}

/// What the third node had in memory when it was told of a change.
struct Seen {
    heads: Heads,
    policy: Arc<StoredPolicy>,
    distrusted: bool,
    revoked: Vec<bool>,
}

fn token(n: usize) -> String {
    format!("t{n}")
}

async fn edit(node: &Store) -> BTreeMap<ChangeNumber, Arc<StoredPolicy>> {
    let mut policies = BTreeMap::new();
    for n in 0..EDITS {
        let (_, after) =
            node.edit_policy(&actor(), &node.policy(), put(&format!("s{}", n % 7))).await.unwrap();
        policies.insert(after.change, after);
    }
    policies
}

async fn trust(node: &Store) -> BTreeMap<ChangeNumber, bool> {
    let mut distrusted = BTreeMap::new();
    for n in 0..TRUST {
        let (distrust, kid) = (n % 2 == 0, "k".to_owned());
        let change = if distrust { StateChange::Distrust(kid) } else { StateChange::Trust(kid) };
        distrusted.insert(node.change_provider(&actor(), &okta(), change).await.unwrap(), distrust);
    }
    distrusted
}

async fn revoke(node: &Store, n: usize) -> (ChangeNumber, Option<ChangeNumber>) {
    let made = node.revoke(&Actor::System, vec![revocation(&token(n))]).await.unwrap();
    let (id, change) = (&made[0].id, made[0].change);
    if n >= TAKEN_BACK {
        return (change, None);
    }
    (change, Some(node.delete_revocation(&Actor::System, id).await.unwrap()))
}

async fn watch_it_arrive(node: &Store, last: ChangeNumber) -> Vec<Seen> {
    let (mut heard, mut seen) = (node.subscribe(), Vec::new());
    loop {
        let heads = *heard.borrow_and_update();
        seen.push(Seen {
            heads,
            policy: node.policy(),
            distrusted: node.providers().iter().any(|state| state.distrusted.contains("k")),
            revoked: (0..TOKENS).map(|n| is_revoked(node, &token(n))).collect(),
        });
        if heads.last == last {
            return seen;
        }
        heard.changed().await.unwrap();
    }
}

impl Seen {
    /// Everything up to the numbers that were told was there, and nothing was as it had been before.
    fn check(&self, done: &Done) {
        let Heads { policy, revocations, providers, .. } = self.heads;
        assert!(self.policy.change >= policy);
        let nothing = Arc::default();
        assert_eq!(&self.policy, done.policies.get(&self.policy.change).unwrap_or(&nothing));
        for (n, (made, taken_back)) in done.revoked.iter().enumerate() {
            match taken_back {
                Some(taken_back) if *taken_back <= revocations => assert!(!self.revoked[n], "{n} came back"),
                None if *made <= revocations => assert!(self.revoked[n], "{n} is missing"),
                // It may have come before it was told of.
                Some(_) | None => {}
            }
        }
        // What comes next may have come before it was told of.
        let mut may_be = done.distrusted.range(providers..).map(|(_, distrusted)| *distrusted);
        assert!(may_be.any(|distrusted| distrusted == self.distrusted) || providers.0 == 0);
    }
}

async fn a_burst_arrives_complete_and_in_order(listen: bool) {
    let url = Postgres::shared().database().parse().unwrap();
    let settings = StoreSettings { listen, ..StoreSettings::new(url) };
    let open = async || Store::open(Some(&settings), ticking()).await.unwrap();
    let (a, b, third) = (open().await, open().await, open().await);
    let revoking = (0..TOKENS).map(|n| revoke(if n % 2 == 0 { &a } else { &b }, n));
    let watcher = third.clone();
    let last = ChangeNumber(i64::try_from(CHANGES).unwrap());
    let watching = tokio::spawn(async move { watch_it_arrive(&watcher, last).await });
    let (policies, distrusted, revoked) =
        futures_util::join!(edit(&a), trust(&b), futures_util::future::join_all(revoking));
    let done = Done { policies, revoked, distrusted };
    assert_eq!(a.heads().await.unwrap().last, last, "a change without a number of its own");
    let start = Instant::now();
    let seen = tokio::time::timeout(Duration::from_secs(20), watching).await.expect("not complete").unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(seen.is_sorted_by_key(|seen| seen.heads.last));
    assert!(seen.is_sorted_by_key(|seen| seen.policy.change));
    for seen in &seen {
        seen.check(&done);
    }
    let end = seen.last().unwrap();
    assert_eq!(end.revoked.iter().filter(|revoked| **revoked).count(), TOKENS - TAKEN_BACK);
    assert_eq!((end.policy.change, end.distrusted), (a.policy().change, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_a_thousand_changes_arrives_complete_and_in_order() {
    a_burst_arrives_complete_and_in_order(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_listen_a_burst_of_a_thousand_changes_arrives_complete_and_in_order() {
    a_burst_arrives_complete_and_in_order(false).await;
}
