use super::*;

/// Far more than any of these exchanges needs, on a machine that does much else.
const STUCK: Duration = Duration::from_secs(20);
/// For each of 32 tasks.
const ROUNDS: u32 = 500;

fn request() -> Request<RequestBody> {
    Request::get("/").header("host", "pod").body(RequestBody::Empty).expect("a request")
}

/// One request on a connection that the pod closes in the same moment.
async fn meet_the_end(delay: u32) {
    let (ours, theirs) = tokio::io::duplex(1024);
    let mut line = Line::over(ours).await.expect("no handshake of its own");
    assert!(line.is_free(), "nobody has closed it yet");
    tokio::spawn(async move { drop(theirs) });
    for _ in 0..delay {
        std::hint::spin_loop();
    }
    assert!(line.send(&mut Some(request())).await.is_err(), "nobody answers");
}

/// Many more threads than cores, so that some are interrupted between any two instructions: a request that is put into the
/// queue of a connection which ends at the same moment must not wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 16)]
async fn no_request_is_stuck_on_a_connection_that_is_being_closed() {
    let workers: Vec<_> = (0..32)
        .map(|_| {
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let done = tokio::time::timeout(STUCK, meet_the_end(round % 97 * 20)).await;
                    assert!(done.is_ok(), "stuck in round {round}");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("no request is stuck");
    }
}
