use std::{
    net::{Shutdown as Half, TcpListener, TcpStream as StdStream},
    os::fd::OwnedFd,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use tokio::time::sleep;

use super::*;

const INTERVAL: Duration = Duration::from_secs(1);

/// Serves on `listener`; returns how often its watchdog has been fed.
async fn serve_fed(
    listener: TcpListener,
    limits: Limits,
    endpoint: impl Endpoint + 'static,
) -> Arc<AtomicU32> {
    let meals = Arc::new(AtomicU32::new(0));
    let fed = Arc::clone(&meals);
    let settings = ListenerSettings { limits, ..ListenerSettings::default() };
    let bound = Bound::adopt_or_bind(&settings, Some(InheritedSocket::Tcp(listener))).await.unwrap();
    let watchdog = Watchdog::new(INTERVAL, move || {
        fed.fetch_add(1, Relaxed);
    });
    tokio::spawn(bound.feeding(Some(watchdog)).serve(endpoint, Shutdown::new()));
    meals
}

/// T13.1: the watchdog of the service manager is fed by the accept loop, not beside it.
#[tokio::test(start_paused = true)]
async fn an_accept_loop_that_cannot_accept_does_not_feed_the_watchdog() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let same = OwnedFd::from(listener.try_clone().unwrap());
    let meals = serve_fed(listener, Limits::default(), hello()).await;
    sleep(10 * INTERVAL).await;
    assert!((10..=11).contains(&meals.load(Relaxed)), "{meals:?}");

    // From now on accept(2) fails.
    StdStream::from(same).shutdown(Half::Both).unwrap();
    sleep(INTERVAL).await;
    let fed = meals.load(Relaxed);
    sleep(60 * INTERVAL).await;
    assert_eq!(meals.load(Relaxed), fed);
}

/// T13.1: a node with as many connections as it may have is alive.
#[tokio::test(start_paused = true)]
async fn a_full_server_feeds_the_watchdog() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let limits = short(|limits| limits.connections = 1.try_into().unwrap());
    let meals = serve_fed(listener, limits, never()).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(GET).await.unwrap();
    let _waiting = TcpStream::connect(address).await.unwrap();
    sleep(10 * INTERVAL).await;
    let fed = meals.load(Relaxed);
    sleep(10 * INTERVAL).await;
    assert!(meals.load(Relaxed) >= fed + 9, "{meals:?}");
}
