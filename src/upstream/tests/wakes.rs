//! Who is woken by an exchange.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use http_body_util::{BodyExt, Empty};
use tokio::sync::Notify;

use super::{super::*, support::*};

/// A task that counts how often it is woken.
#[derive(Default)]
struct Task {
    woken: Counter,
    wakes: Notify,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.add(1);
        self.wakes.notify_one();
    }
}

impl Task {
    /// Runs only when it is woken.
    async fn run<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> T {
        let (mut work, waker) = (pin!(work), Waker::from(Arc::clone(self)));
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            self.wakes.notified().await;
        }
    }
}

async fn exchange(upstreams: &Upstreams) -> Bytes {
    let body = Empty::new().map_err(|never| match never {}).boxed();
    let request = http::Request::get("/").header("host", "a").body(body).unwrap();
    let exchange = Exchange { request, upgrade: None, abort: None, trailers: None };
    let response = upstreams.send("it", exchange).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn an_exchange_wakes_its_own_task_when_the_answer_comes_and_no_other() {
    let upstreams = Upstreams::new(&[("it".to_owned(), at(raw(|_| OK.to_vec()).await))]).unwrap();
    let (first, second) = (Arc::<Task>::default(), Arc::<Task>::default());
    assert_eq!(first.run(exchange(&upstreams)).await, "hello");
    let before = first.woken.get();
    assert_eq!(second.run(exchange(&upstreams)).await, "hello");
    tokio::time::sleep(SOON).await;
    assert_eq!((first.woken.get() - before, second.woken.get()), (0, 1));
}

#[tokio::test]
async fn a_connection_that_ends_while_it_rests_wakes_nobody() {
    let upstream = scripted(&Counter::default(), |mut stream| async move {
        read_head(&mut stream).await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, OK).await.unwrap();
        tokio::time::sleep(SOON / 2).await;
    })
    .await;
    let upstreams = Upstreams::new(&[("it".to_owned(), at(upstream))]).unwrap();
    let task = Arc::<Task>::default();
    for _ in 0..3 {
        assert_eq!(task.run(exchange(&upstreams)).await, "hello");
        let before = task.woken.get();
        tokio::time::sleep(SOON).await;
        assert_eq!(task.woken.get(), before);
    }
}
